"""A few random workloads on each server at hand; python -m tests.workloads runs as many as wanted."""

import pytest

from aofdoctor.server.sandbox import ServerBinary
from tests.support.servers import all_servers
from tests.workloads.runner import run_workload

WORKLOADS = 8  # for each server


@pytest.mark.parametrize("seed", range(WORKLOADS))
@pytest.mark.parametrize("binary", all_servers(), ids=lambda binary: binary.version_name)
def test_a_server_has_the_same_keys_with_every_result(binary: ServerBinary, seed: int) -> None:
    outcome = run_workload(binary, seed)
    assert not outcome.wrong, f"{outcome}\n    its files: {outcome.kept}"
