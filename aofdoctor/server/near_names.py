"""Suggest which command an unknown name was before one bit or one letter of it changed."""

from collections.abc import Iterable

from aofdoctor.server.command_table import CommandSpec, command_table
from aofdoctor.server.compatibility import any_version_accepts

_NAME_MAX = 32  # longer than every name in the table
_ALSO_LOGGED = frozenset({"select", "multi", "exec"})


def near_command(name: bytes, argc: int) -> str:
    """Return the one command, in upper case, that differs from `name` in one bit, or else in one letter.

    Only commands that servers write to an AOF and that take `argc` arguments are compared.  Empty if none or several
    differ so little.
    """
    if not 1 < len(name) <= _NAME_MAX:
        return ""
    sizes = (len(name) - 1, len(name), len(name) + 1)
    specs = [spec for spec in command_table().commands if len(spec.name) in sizes and _is_logged(spec, argc)]
    names = [spec.name.encode() for spec in specs]
    for is_near in (_differs_in_one_bit, _differs_in_one_letter):
        if near := _only(known for known in names if is_near(name, known)):
            return near.decode().upper()
    return ""


def _is_logged(spec: CommandSpec, argc: int) -> bool:
    is_written = "write" in spec.flags or spec.name in _ALSO_LOGGED
    return is_written and not spec.container and any_version_accepts(spec.id, argc)


def _only(names: Iterable[bytes]) -> bytes:
    near = list(names)
    return near[0] if len(near) == 1 else b""


def _differs_in_one_bit(name: bytes, known: bytes) -> bool:
    if len(name) != len(known):
        return False
    changed = [(a, b) for a, b in zip(name, known, strict=True) if bytes((a,)).lower() != bytes((b,))]
    if len(changed) != 1:
        return False
    [(a, b)] = changed
    return any((a ^ letter).bit_count() == 1 for letter in (b, b - 32 if 97 <= b <= 122 else b))


def _differs_in_one_letter(name: bytes, known: bytes) -> bool:
    """Whether one letter of `known` was changed, lost or added in `name`, without regard to case."""
    name = name.lower()
    if len(name) == len(known):
        return sum(a != b for a, b in zip(name, known, strict=True)) == 1
    short, long = sorted((name, known), key=len)
    return len(long) == len(short) + 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
