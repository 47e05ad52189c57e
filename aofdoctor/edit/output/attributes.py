"""Owner, mode, access control list (ACL) and extended attributes of a source file, given to the file that replaces it.

Linux keeps an ACL as the extended attribute system.posix_acl_access.  A file in a directory with a default ACL begins
with that ACL, which is removed unless the source has it: an output is never readable by more users than its source.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.edit.output.durable import create_file

_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_ACL_HEADER, _ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_ACL_GROUP_TAG, _ACL_MASK_TAG = 0x04, 0x10
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """The status of a file (owner, mode), and its extended attributes with the ACLs, by name."""

    status: os.stat_result
    extended: dict[str, bytes] = field(default_factory=dict)

    @property
    def mode_without_acl(self) -> int:
        """The mode for a file without the ACL: with an ACL the group bits of a mode are the maximum for all users."""
        mode = stat.S_IMODE(self.status.st_mode)
        acl = self.extended.get(_ACLS[0])
        if acl is None:
            return mode
        entries = _ACL_ENTRY.iter_unpack(acl[_ACL_HEADER.size :][: (len(acl) - 4) // 8 * 8])
        group = next((permissions for tag, permissions, _ in entries if tag == _ACL_GROUP_TAG), 0)
        return mode & ~0o070 | (mode & group << 3)

    def for_directory(self) -> "FileAttributes":
        """The attributes of a directory that replaces the file: whoever may read the file may search the directory."""
        mode = self.status.st_mode & ~0o777 | self.mode_without_acl
        status = os.stat_result((mode | (mode & 0o444) >> 2, *self.status[1:]))
        return replace(self, status=status, extended={n: v for n, v in self.extended.items() if n not in _ACLS})


def attributes_of(path: Path) -> FileAttributes:
    """The attributes of the file or directory at a path."""
    return FileAttributes(os.stat(path), _extended(path))


def attributes_of_part(part: AofPart) -> FileAttributes:
    """The attributes of an open source file, with its status at open."""
    file = AOF.require_file(part)
    return FileAttributes(file.stat, _extended(file.fd))


def _extended(target: Path | int) -> dict[str, bytes]:
    """The extended attributes that can be read; none where the system or the file system has none."""
    found: dict[str, bytes] = {}
    with suppress(OSError, AttributeError):  # macOS: Python has no os.listxattr there.
        for name in os.listxattr(target):
            with suppress(OSError):
                found[name] = os.getxattr(target, name)
    return found


@dataclass(slots=True)
class Ownership:
    """Gives the files written for `output` the owner, mode, ACL and extended attributes of their source.

    What cannot be kept is named in `not_kept`, and in a sentence of `warnings` with the command to run.
    """

    output: Path
    warnings: list[str] = field(default_factory=list)
    not_kept: list[str] = field(default_factory=list)

    @contextmanager
    def new_file(self, path: Path, attributes: FileAttributes) -> Iterator[int]:
        """A descriptor to write a new file; afterwards the file gets its attributes, and is synced to disk."""
        fd = create_file(path)
        try:
            yield fd
            self._copy(fd, attributes, 0)
            os.fsync(fd)
        finally:
            os.close(fd)

    def copy_to_directory(self, folder: Path, attributes: FileAttributes) -> None:
        """Give a directory its attributes; it stays readable and writable for its owner."""
        self._copy(folder, attributes, 0o700)

    def _copy(self, target: int | Path, attributes: FileAttributes, least_mode: int) -> None:
        status = attributes.status
        try:
            os.chown(target, status.st_uid, status.st_gid)
        except PermissionError:
            self._warn_owner_not_kept(status)
        _remove_inherited_acls(target)
        os.chmod(target, attributes.mode_without_acl | least_mode)
        for name, value in attributes.extended.items():
            self._copy_extended(target, name, value)
        if least_mode:
            os.chmod(target, stat.S_IMODE(os.stat(target).st_mode) | least_mode)

    def _copy_extended(self, target: int | Path, name: str, value: bytes) -> None:
        with suppress(OSError):
            if os.getxattr(target, name) == value:
                return
        try:
            os.setxattr(target, name, value)
        except OSError:
            if name in self.not_kept:
                return
            self.not_kept.append(name)
            what = "the ACL" if name in _ACLS else "the extended attribute"
            self.warnings.append(
                f"{what} {text.display_path(name)} could not be kept on {text.display_path(str(self.output))}"
            )

    def _warn_owner_not_kept(self, status: os.stat_result) -> None:
        line = f"chown -R {status.st_uid}:{status.st_gid} {text.shell_quote(str(self.output))}"
        warning = f"the owner could not be kept, and a server that cannot open its file does not start: {line}"
        if warning not in self.warnings:
            self.warnings.append(warning)
            self.not_kept.append("owner")


def _remove_inherited_acls(target: int | Path) -> None:
    """Remove the ACLs that a file or directory has from the default ACL of its parent directory."""
    for name in _ACLS:
        try:
            os.removexattr(target, name)
        except AttributeError:
            return  # macOS
        except OSError as problem:
            if problem.errno not in (errno.ENODATA, errno.EINVAL, errno.EACCES, *_UNSUPPORTED):
                raise
