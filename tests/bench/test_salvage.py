"""The short form of the salvage bench, and what the README's table says about it.

    pytest tests/bench/test_salvage.py

A salvage keeps at least what `redis-check-aof --fix` keeps, for each kind of damage, and invents nothing.
"""

import re

import pytest

from tests.bench.salvage import FAMILIES, LEAST_RECALL, Row, measure_families, sum_up, table
from tests.conftest import FIXTURES

README = (FIXTURES.parent / "README.md").read_text()
CASES = 3


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    found = list(measure_families(list(FAMILIES), CASES))
    assert [one.error for one in found if one.error] == []
    return sum_up(found)


def test_no_kind_of_damage_is_missing(rows: list[Row]) -> None:
    at_hand = [name for name, family in FAMILIES.items() if family.samples()]
    assert [row.name for row in rows] == at_hand and all(row.cases == CASES for row in rows)


def test_a_salvage_keeps_at_least_what_the_checker_keeps(rows: list[Row]) -> None:
    assert [row.name for row in rows if row.recall(row.ours) < row.recall(row.peer)] == []


def test_a_salvage_invents_nothing(rows: list[Row]) -> None:
    may_invent = {name for name, _, invented in readme_rows() if invented}
    assert [row.name for row in rows if row.sum_of("invented") and row.name not in may_invent] == []
    assert [row.name for row in rows if row.sum_of("parts")] == []


def readme_rows() -> list[tuple[str, float, int]]:
    """Return (kind of damage, recall of the salvage in percent, invented) of the README's table."""
    pattern = r"^\| ([^|]+) \| \d+ \| [\d,]+ \| [\d.]+% \| ([\d.]+)% \| (\d+) \| \d+ \|$"
    return [(name, float(share), int(invented)) for name, share, invented in re.findall(pattern, README, re.MULTILINE)]


def test_the_readme_has_the_table_of_every_kind() -> None:
    assert [name for name, _, _ in readme_rows()] == list(FAMILIES)
    assert next(iter(table([]))) in README


def test_the_readme_names_the_kinds_below_95_percent() -> None:
    section = " ".join(README.partition("Below 95%:")[2].partition("\n\n")[0].split())
    low = [name for name, share, _ in readme_rows() if share < LEAST_RECALL]
    assert low and all(name in section for name in low)


def test_the_readme_names_the_kinds_with_inventions() -> None:
    section = " ".join(README.partition("Invented:")[2].partition("\n\n")[0].split())
    assert all(name in section for name, _, invented in readme_rows() if invented)
