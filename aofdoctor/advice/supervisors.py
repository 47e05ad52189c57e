"""Find out what would start a server again after it is stopped: systemd, a container engine, or Kubernetes.

The kernel names the control group of each process in /proc/PID/cgroup.  systemd, Docker, Podman, containerd, CRI-O and
the kubelet put the name of the unit, the container or the pod into the path of that group.
"""

import re
from dataclasses import dataclass

from aofdoctor import text

_POD = re.compile(r"pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
_PODMAN = re.compile(r"(?:^|/)libpod-(?P<id>[0-9a-f]{64})(?:\.scope)?(?:/|$)")
_DOCKER = re.compile(r"(?:^|/)(?:docker-|docker/)(?P<id>[0-9a-f]{64})(?:\.scope)?(?:/|$)")
_USER_UNIT = re.compile(r"/user@\d+\.service/(?:[^/]+\.slice/)*(?P<unit>[^/]+\.service)(?:/|$)")
_UNIT = re.compile(r"(?:^|/)(?:[^/]+\.slice/)+(?P<unit>[^/]+\.service)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What manages a server process: its name for a sentence, and the shell commands that stop and start the server.

    `run_inside` is the shell prefix that runs a command where the server runs, empty if that is this host.
    """

    name: str
    stop: tuple[str, ...]
    start: tuple[str, ...]
    run_inside: str = ""


def supervisor_of(cgroup: str) -> Supervisor | None:
    """Return the supervisor that the text of /proc/PID/cgroup names, or None if it names none.

    A container comes before the systemd unit that may contain it, and a pod before its container.
    """
    for line in cgroup.splitlines():
        path = line.split(":", 2)[-1]
        for pattern, build in _KINDS:
            if match := pattern.search(path):
                return build(match)
    return None


def _pod(match: re.Match[str]) -> Supervisor:
    uid = match["uid"].replace("_", "-")
    find = (
        "kubectl get pods -A -o jsonpath="
        f"""'{{range .items[?(@.metadata.uid=="{uid}")]}}{{.metadata.namespace}}/{{.metadata.name}}"""
        """ of {.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}{"\\n"}{end}'"""
    )
    return Supervisor(
        f"the Kubernetes pod with the uid {uid}; scale its owner to 0, which this command names", (find,), (find,)
    )


def _container(engine: str, match: re.Match[str]) -> Supervisor:
    short = match["id"][:12]
    return Supervisor(
        f"{engine} container {short}",
        (f"{engine} stop {short}",),
        (f"{engine} start {short}",),
        f"{engine} exec {short} ",
    )


def _unit(systemctl: str, match: re.Match[str]) -> Supervisor:
    unit = text.shell_quote(match["unit"])
    return Supervisor(f"systemd unit {unit}", (f"{systemctl} stop {unit}",), (f"{systemctl} start {unit}",))


_KINDS = (
    (_POD, _pod),
    (_PODMAN, lambda match: _container("podman", match)),
    (_DOCKER, lambda match: _container("docker", match)),
    (_USER_UNIT, lambda match: _unit("systemctl --user", match)),
    (_UNIT, lambda match: _unit("systemctl", match)),
)
