"""Every journey, each with one server that writes its layout."""

import shutil

import pytest

from tests.journeys import scenarios as scenarios
from tests.journeys.journey import JOURNEYS, Journey
from tests.support.servers import servers_by_line

# The printed steps of these journeys do not lead to the end yet: a plan prints no steps that carry it out, and two accidents
# at once need a choice that the steps do not name.
_UNFINISHED = frozenset(
    {
        "a-cluster-node",
        "a-cluster-node:where-it-stands",
        "a-flush-and-a-changed-byte",
        "a-flush-and-a-changed-byte-in-the-base",
        "a-flush-and-a-torn-tail",
        "a-flush-and-a-torn-tail:where-it-stands",
        "a-missing-manifest-and-a-flush",
        "a-patch-into-a-restored-backup",
        "a-renamed-flush",
        "a-rewrite-after-a-flush-beside-a-dump",
        "a-rewrite-after-a-flush-with-history-files",
        "a-second-accident-after-a-rescue",
        "a-server-on-a-unix-socket-alone",
        "a-torn-transaction-before-a-restart",
        "evicted-keys",
        "nothing-but-a-deleted-namespace",
        "the-option-appendonly-over-a-dump",
        "two-flushes-of-which-both-were-accidents:all-of-them",
        "two-flushes-of-which-both-were-accidents:all-of-them-where-they-stand",
        "two-flushes-of-which-the-last-was-an-accident",
    }
)
_PREFERRED = ("redis-7.0", "valkey-9.1", "redis-6.2")


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="redis-cli is not installed: printed steps need it")
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.name)
def test_following_the_printed_steps_ends_in_what_they_promise(journey: Journey) -> None:
    if journey.name in _UNFINISHED:
        pytest.xfail("its printed steps do not lead to the end yet")
    servers = servers_by_line()
    names = [name for name in _PREFERRED if name in servers and journey.fits(servers[name])]
    if not names:
        pytest.skip("no server at hand writes this layout")
    journey.run(servers[names[0]])
