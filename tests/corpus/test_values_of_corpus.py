"""Every RDB of the corpus: the exported commands and the RDB itself lead a real server to the same digest."""

import pytest

from aofdoctor.errors import SandboxError
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.source import FileSource
from tests.support.corpus import ROOT, describe_values, has_negative_zero, needs_corpus, undamaged_rdbs
from tests.support.key_descriptions import dataset_digest, library_codes
from tests.support.rdb_loading import digest_server, export_commands, feed_commands, lines_that_load_rdb
from tests.support.servers import servers_by_line

pytestmark = needs_corpus


def test_every_rdb_of_other_projects_is_walked_to_its_end() -> None:
    assert ROOT is not None
    walked = {path.name: walk_rdb(FileSource(path)) for path in (ROOT / "rdb-assets").rglob("*.rdb")}
    assert len(walked) > 90 and all(rdb.complete for rdb in walked.values())
    # Only Redis Enterprise writes opcode 107. The walk finds the end of the file by its checksum.
    unread = {name: rdb.note for name, rdb in walked.items() if rdb.key_count is None}
    assert list(unread) == ["redis_ent_opcode_ram_lru.rdb"] and "type 107" in unread["redis_ent_opcode_ram_lru.rdb"]


@pytest.mark.parametrize("line", sorted(servers_by_line()))
def test_exported_commands_give_the_state_of_loading_the_rdb(line: str) -> None:
    binary, compared, unsaid = servers_by_line()[line], 0, []
    with digest_server(binary) as fed:
        for data, path in undamaged_rdbs().items():
            if line not in lines_that_load_rdb(data):
                continue
            try:
                with digest_server(binary, data) as loaded:
                    expected = (describe_values(loaded), library_codes(loaded), dataset_digest(loaded))
            except SandboxError:
                continue  # The RDB holds values of a module, or this server refuses it.
            commands, lost, broken = export_commands(data, line)
            unsaid += [(path, lost, broken)] if lost or broken else []
            fed.client.pipeline([("FLUSHALL",)] + ([("FUNCTION", "FLUSH")] if binary.version >= (7, 0, 0) else []))
            feed_commands(fed, commands)
            got = (describe_values(fed), library_codes(fed), dataset_digest(fed))
            same = 2 if has_negative_zero(data) else 3
            assert got[:same] == expected[:same], path
            compared += 1
    print(line, compared)
    assert compared > 10
    assert unsaid == []
