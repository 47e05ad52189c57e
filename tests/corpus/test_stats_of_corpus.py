"""stats on the corpus: its totals equal those of check, and its number of RDB keys equals the keys that check counts.

Runs only if AOFDOCTOR_CORPUS names an unpacked corpus.
"""

from multiprocessing import Pool

from tests.conftest import aofdoctor
from tests.support.corpus import Case, cases, needs_corpus
from tests.support.stats import assert_same_totals

pytestmark = needs_corpus


def judge(case: Case) -> int:
    """Return the number of commands of a case, or 0 if both verbs refuse it."""
    found, report = aofdoctor("stats", case.path, "--json"), aofdoctor("check", case.path, "--json")
    if report.status > 1:
        assert found.status == report.status, case.id
        return 0
    assert found.status in (0, 1), (case.id, found.err)
    assert_same_totals(found.json, report.json)
    bases = [part["preamble"] for part in report.json["parts"] if part["preamble"]]
    if bases and all(base["complete"] and base["keys"] is not None for base in bases):
        assert found.json["base"]["keys"] == sum(base["keys"] for base in bases), case.id
    return int(found.json["totals"]["commands"])


def test_totals_are_those_of_check() -> None:
    everything = list(cases())
    with Pool(2) as pool:
        commands = pool.map(judge, everything, chunksize=8)
    assert len(commands) > 1800 and sum(commands) > 1_000_000 and sum(map(bool, commands)) > 1700
