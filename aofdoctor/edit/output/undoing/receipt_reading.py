"""Read the receipt of an edit in place, and accept only what an edit can have written.

A receipt may come from somebody else, so every value in it is checked: the types, the paths, and for overwritten bytes
that the old bytes are one flush command and the new bytes the PING that replaces it.  Everything else raises
InvalidReceipt.
"""

import base64
import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.edit.output.overwrite import OVERWRITES_MAX, Overwrite, is_flush_record, ping_of_size
from aofdoctor.errors import RefusedEdit

_RECEIPT_MAX = 256 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BACKUP_SUFFIX = r"\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.before"
_COPY_KINDS = ("copy",)
IN_PLACE_KINDS = ("in-place", "exchange")


class InvalidReceipt(RefusedEdit):
    """A file is not a receipt that an edit has written."""

    def __init__(self, receipt: Path, detail: str) -> None:
        super().__init__(
            f"{text.display_path(str(receipt))} is not a receipt of aofdoctor: {text.display_path(detail)}",
            "nothing was changed",
        )


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """The fingerprint of a file in a receipt; the hashes are empty if the file could not be read completely."""

    path: Path
    inode: int
    size: int
    mtime_ns: int
    head_sha256: str
    tail_sha256: str


@dataclass(frozen=True, slots=True)
class RecordedOverwrites:
    """One file of a receipt of overwritten flushes: the overwrites, and the hash of the bytes around each.

    `file` is the file as it was before the edit.
    """

    file: RecordedFile
    edits: tuple[Overwrite, ...]
    around: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """The receipt of an exchange: the path of the AOF, of its backup, and the files of both before the exchange.

    `sources` are the files of the old AOF, `outputs` those of the new one, by the path in the AOF's place.
    """

    aof_path: Path
    backup: Path
    sources: dict[Path, RecordedFile]
    outputs: dict[Path, RecordedFile]


def read_receipt(receipt: Path) -> dict[str, Any]:
    """The content of the receipt of an edit in place; raises RefusedEdit if it is the receipt of a copy."""
    status = receipt.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidReceipt(receipt, "it is not a file")
    if status.st_size > _RECEIPT_MAX:
        raise InvalidReceipt(receipt, "it is too large")
    try:
        data = json.loads(receipt.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise InvalidReceipt(receipt, str(problem)) from None
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind in IN_PLACE_KINDS:
        return dict(data)
    if kind in _COPY_KINDS:
        raise RefusedEdit(
            f"{text.display_path(str(receipt))} is the receipt of a copy: the source was never changed",
            "to take it back, remove the copy",
        )
    raise InvalidReceipt(receipt, "its kind is neither in-place nor exchange")


def parse_overwrites(receipt: Path, data: dict[str, Any]) -> list[RecordedOverwrites]:
    """The files of a receipt of overwritten flushes; raises InvalidReceipt unless an edit can have written it all."""
    reader = _Reader(receipt)
    files = [reader.overwrites(entry) for entry in reader.nonempty_list(data, "files")]
    if sum(len(file.edits) for file in files) > OVERWRITES_MAX:
        raise InvalidReceipt(receipt, f"more than {OVERWRITES_MAX:,} edits")
    return files


def parse_exchange(receipt: Path, data: dict[str, Any]) -> RecordedExchange:
    """The receipt of an exchange; raises InvalidReceipt unless an edit can have written all of it.

    The AOF and its backup are next to the receipt, and the receipt has the name of the backup.
    """
    reader = _Reader(receipt)
    name = reader.path(data, "exchanged_with").name
    folder = receipt.absolute().parent
    backup = folder / receipt.name.removesuffix(".undone").removesuffix(".receipt.json")
    if not re.fullmatch(re.escape(name) + _BACKUP_SUFFIX, backup.name, re.DOTALL):
        raise InvalidReceipt(receipt, "its name is not that of what it exchanged")
    outputs = [reader.file(entry) for entry in reader.nonempty_list(data, "output")]
    sources = [reader.file(entry) for entry in reader.nonempty_list(data, "source")]
    is_single = len(outputs) == 1 and outputs[0].path.name == backup.name
    exchange = RecordedExchange(
        folder / name, backup, _by_path(sources, folder / name, is_single), _by_path(outputs, folder / name, is_single)
    )
    for files in (exchange.sources, exchange.outputs):
        if is_single != (len(files) == 1 and folder / name in files):
            raise InvalidReceipt(receipt, "it names several files for one")
        if not is_single and not any(path.name.endswith(".manifest") for path in files):
            raise InvalidReceipt(receipt, "it names no manifest")
    return exchange


def _by_path(files: Sequence[RecordedFile], aof_path: Path, is_single: bool) -> dict[Path, RecordedFile]:
    return {aof_path if is_single else aof_path / file.path.name: file for file in files}


class _Reader:
    """Reads values of the right type from a receipt; raises InvalidReceipt for any other."""

    def __init__(self, receipt: Path) -> None:
        self.receipt = receipt

    def overwrites(self, entry: object) -> RecordedOverwrites:
        file = self.file(self.value(entry, "file", dict))
        edits, around, end = [], [], 0
        for one in self.nonempty_list(entry, "edits"):
            edit = self.edit(one)
            if edit.start < end or edit.span.end > file.size:
                raise self.invalid("its edits overlap, or reach over the end of the file")
            end = edit.span.end
            edits.append(edit)
            around.append(self.sha256(one, "around"))
        return RecordedOverwrites(file, tuple(edits), tuple(around))

    def edit(self, entry: object) -> Overwrite:
        try:
            old, new = (base64.b64decode(self.value(entry, name, str), validate=True) for name in ("old", "new"))
        except ValueError:
            raise self.invalid("old or new is not base64") from None
        if not is_flush_record(old) or new != ping_of_size(len(old)):
            raise self.invalid("an edit does not replace a flush by a PING")
        return Overwrite(self.number(entry, "start"), old, new)

    def file(self, entry: object) -> RecordedFile:
        is_unreadable = isinstance(entry, dict) and entry.get("unreadable") is True
        return RecordedFile(
            self.path(entry, "path"), self.number(entry, "inode"), self.number(entry, "size"),
            self.number(entry, "mtime_ns", least=-(1 << 63)),
            "" if is_unreadable else self.sha256(entry, "sha256_first_64k"),
            "" if is_unreadable else self.sha256(entry, "sha256_last_64k"),
        )  # fmt: skip

    def path(self, entry: object, name: str) -> Path:
        """An absolute path with a file name."""
        value = self.value(entry, name, str)
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            raise self.invalid(f"{name} is not a path") from None
        path = Path(value)
        if "\0" in value or not path.is_absolute() or path.name in ("", ".."):
            raise self.invalid(f"{name} is not the absolute path of a file")
        return path

    def sha256(self, entry: object, name: str) -> str:
        value: str = self.value(entry, name, str)
        if not _SHA256.fullmatch(value):
            raise self.invalid(f"{name} is not a SHA-256")
        return value

    def number(self, entry: object, name: str, least: int = 0) -> int:
        value: int = self.value(entry, name, int)
        if isinstance(value, bool) or not least <= value < 1 << 64:
            raise self.invalid(f"{name} is out of range")
        return value

    def nonempty_list(self, entry: object, name: str) -> list[object]:
        value: list[object] = self.value(entry, name, list)
        if not value:
            raise self.invalid(f"{name} is empty")
        return value

    def value(self, entry: object, name: str, kind: type) -> Any:
        found = entry.get(name) if isinstance(entry, dict) else None
        if not isinstance(found, kind):
            raise self.invalid(f"{name} is missing, or is not {_KIND_NAMES[kind]}")
        return found

    def invalid(self, detail: str) -> InvalidReceipt:
        return InvalidReceipt(self.receipt, detail)


_KIND_NAMES = {dict: "an object", list: "a list", str: "a string", int: "an integer"}
