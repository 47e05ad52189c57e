"""The supervisor of a process is read from its control groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.advice.supervisors import supervisor_of

ID = "0123456789abcdef" * 4
UID = "b7d9c3f0-6a52-4c1e-9d57-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    ("cgroup", "name", "stop"),
    [
        (
            "0::/system.slice/redis-server.service",
            "systemd unit redis-server.service",
            "systemctl stop redis-server.service",
        ),
        (
            "1:name=systemd:/system.slice/redis.service\n0::/",
            "systemd unit redis.service",
            "systemctl stop redis.service",
        ),
        (
            "0::/system.slice/system-redis.slice/redis@6380.service",
            "systemd unit redis@6380.service",
            "systemctl stop redis@6380.service",
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/valkey.service",
            "systemd unit valkey.service",
            "systemctl --user stop valkey.service",
        ),
        (f"0::/system.slice/docker-{ID}.scope", "docker container 0123456789ab", "docker stop 0123456789ab"),
        (f"12:pids:/docker/{ID}\n0::/docker/{ID}", "docker container 0123456789ab", "docker stop 0123456789ab"),
        (f"0::/machine.slice/libpod-{ID}.scope/container", "podman container 0123456789ab", "podman stop 0123456789ab"),
        (f"0::/kubepods/burstable/pod{UID}/{ID}", f"the Kubernetes pod with the uid {UID}", "kubectl get pods -A"),
        (
            f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope",
            f"the Kubernetes pod with the uid {UID}",
            "kubectl get pods -A",
        ),
    ],
)
def test_units_containers_and_pods_are_named_with_the_command_that_stops_them(
    cgroup: str, name: str, stop: str
) -> None:
    supervisor = supervisor_of(cgroup)
    assert supervisor is not None
    assert supervisor.name.startswith(name) and supervisor.stop[0].startswith(stop)


@pytest.mark.parametrize(
    "cgroup", ["", "0::/", "0::/user.slice/user-0.slice/session-3.scope", "9:name=systemd:/\n4:memory:/", "no colon"]
)
def test_a_login_session_is_no_supervisor(cgroup: str) -> None:
    assert supervisor_of(cgroup) is None


@given(st.text(max_size=30))
def test_the_name_of_a_unit_is_quoted_in_its_commands(name: str) -> None:
    supervisor = supervisor_of(f"0::/system.slice/a{name};reboot.service")
    if supervisor:
        assert "\n" not in supervisor.stop[0] and supervisor.stop[0].startswith(
            ("systemctl stop '", "systemctl stop $'")
        )
