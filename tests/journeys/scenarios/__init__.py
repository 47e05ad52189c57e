"""The accidents, one module for each kind; importing this package fills the table of journeys."""

from tests.journeys.scenarios import damage, files, flushes, hosts, partial

__all__ = ["damage", "files", "flushes", "hosts", "partial"]
