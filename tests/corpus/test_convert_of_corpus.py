"""convert of every RDB in the corpus, to commands and to the RDB versions that the installed servers read."""

from pathlib import Path
from typing import Any

import pytest

from aofdoctor.errors import SandboxError
from tests.conftest import aofdoctor
from tests.support.conversions import lines_that_load, load_output
from tests.support.corpus import describe_values, has_negative_zero, needs_corpus, undamaged_rdbs
from tests.support.key_descriptions import dataset_digest, describe_by_server, library_codes
from tests.support.rdb_loading import lines_that_load_rdb
from tests.support.servers import servers_by_line

pytestmark = needs_corpus
# A server drops empty collections when it saves, and loads the values of a module only with that module.
SKIPPED = ("corrupt", "module")
LATER = ("--shift-ttl", "20000d")  # A server drops keys that have expired, so the expiries are moved into the future.
KINDS = {"commands": (["--base", "resp"], "out.aof")} | {
    str(version): (["--base", "rdb", "--rdb-version", str(version)], "out.rdb") for version in (9, 10, 11, 12, 80)
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_rdb_loads_to_the_same_state(kind: str, tmp_path: Path) -> None:
    words, name = KINDS[kind]
    compared, refused = 0, []
    for number, (data, path) in enumerate(undamaged_rdbs().items()):
        source, out = tmp_path / f"{number}.rdb", tmp_path / f"{number}{name}"
        source.write_bytes(data)
        line = next(
            (line for line in lines_that_load_rdb(data) if kind == "commands" or line in lines_that_load(int(kind))),
            None,
        )
        if line is None:
            continue
        try:
            expected = load_state(line, source)
        except SandboxError:
            continue  # The RDB holds values of a module, or this server refuses it.
        result = aofdoctor("convert", source, *words, *(["--for", line] if kind == "commands" else []), "-o", out)
        if result.status:
            refused.append((path, result.err))
            continue
        same = 2 if has_negative_zero(data) else 3
        assert load_state(line, out)[:same] == expected[:same], path
        compared += 1
    print(kind, compared, refused)
    assert compared > 10
    # A version may be too old for some of the values; the refusal must then name them.
    assert [(path, err) for path, err in refused if "cannot represent" not in err] == []


def load_state(line: str, path: Path) -> tuple[Any, ...]:
    with load_output(servers_by_line()[line], path) as running:
        return describe_values(running), library_codes(running), dataset_digest(running)


@pytest.mark.parametrize("version", [9, 11, 80])
def test_an_older_server_loads_every_key_of_a_lossy_conversion(version: int, tmp_path: Path) -> None:
    counted = 0
    for number, (data, path) in enumerate(undamaged_rdbs().items()):
        line = next((line for line in lines_that_load(version) if line not in lines_that_load_rdb(data)), None)
        if line is None or any(word in path.name for word in SKIPPED):
            continue
        source, out = tmp_path / f"{number}.rdb", tmp_path / f"{number}.out.rdb"
        source.write_bytes(data)
        result = aofdoctor(
            "convert", source, "--base", "rdb", "--rdb-version", version, "--lossy", *LATER, "-o", out, "--json"
        )
        assert result.status in (0, 3), path
        if result.status or any("module" in entry["why"] for entry in result.json["inexpressible"]):
            continue
        with load_output(servers_by_line()[line], out) as running:
            keys = describe_by_server(running, digests=False)
        assert len(keys) == sum(entry["count"] for entry in result.json["converted"]["keys"]), path
        counted += 1
    print(version, counted)
    assert counted > 10
