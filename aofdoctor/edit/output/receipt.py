"""What every new copy comes to: the owner of its source, a receipt, and its names all at once or not at all."""

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aofdoctor
from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.edit.output.durable import rename_directory_into_place, rename_file_into_place
from aofdoctor.edit.output.fingerprint import fingerprint, fingerprint_fd
from aofdoctor.errors import SourceChanged
from aofdoctor.source import FileSource

OnBytesWritten = Callable[[int], None]
OutputVerifier = Callable[[Path], None]


@dataclass(slots=True)
class Receipt:
    """What was done; `warnings` are sentences that the user has to read."""

    output: Path
    path: Path
    dropped_path: Path | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ownership:
    """Gives what is made for `output` the owner and mode of what it came from; `warnings` say where that failed."""

    output: Path
    warnings: list[str] = field(default_factory=list)

    def copy_to(self, fd: int, status: os.stat_result, path: Path) -> None:
        """Of a file."""
        try:
            os.fchown(fd, status.st_uid, status.st_gid)
        except PermissionError:
            self._warn_owner_not_kept(status)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))

    def copy_to_directory(self, folder: Path, status: os.stat_result) -> None:
        """Of a directory, which stays one that we can write into."""
        try:
            os.chown(folder, status.st_uid, status.st_gid)
        except PermissionError:
            self._warn_owner_not_kept(status)
        os.chmod(folder, stat.S_IMODE(status.st_mode) | 0o700)

    def _warn_owner_not_kept(self, status: os.stat_result) -> None:
        line = f"chown -R {status.st_uid}:{status.st_gid} {text.shell_quote(str(self.output))}"
        warning = f"the owner could not be kept, and a server that cannot open its file does not start: {line}"
        if warning not in self.warnings:
            self.warnings.append(warning)


def rename_into_place(finished: list[tuple[Path, Path]]) -> None:
    """Give what is finished its names: all of it, or after an error none."""
    done: list[Path] = []
    try:
        for made, path in finished:
            rename_directory_into_place(made, path) if made.is_dir() else rename_file_into_place(made, path)
            done.append(path)
    except BaseException:
        for path in done:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def growth_warning(source: FileSource) -> str:
    """A warning where a source has grown since it was opened, else nothing; raises SourceChanged where it shrank."""
    now = os.fstat(source.fd)
    if now.st_size < source.size:
        raise SourceChanged(f"{text.display_path(source.path)} shrank while it was copied: the copy is not kept")
    if now.st_size == source.size:
        return ""
    grown = text.format_size(now.st_size - source.size)
    return f"{text.display_path(source.path)} has grown by {grown} since it was opened: not in the copy"


def receipt_header_json(verb: str) -> dict[str, object]:
    """How the receipt of a copy begins."""
    written = datetime.now(UTC).isoformat(timespec="seconds")
    return {"aofdoctor": aofdoctor.__version__, "verb": verb, "kind": "copy", "written": written}


def outputs_json(made: Path, output: Path, full_hash: bool) -> list[dict[str, object]]:
    """The fingerprints of what is finished, by the names that it will have."""
    files = [made] if made.is_file() else sorted(made.iterdir())
    return [fingerprint(path, output if path == made else output / path.name, full_hash).as_json() for path in files]


def exchange_json(aof: AOF, receipt: Receipt, exchange_with: Path, full_hash: bool) -> dict[str, object]:
    """What a receipt says of an exchange: under which name the output stands after it, and where the old bytes do."""
    manifest = aof.manifest_path
    prints = [
        fingerprint_fd(AOF.require_file(part).fd, Path(AOF.require_file(part).path), full_hash)
        for part in aof.existing_parts
    ]
    prints += [fingerprint(manifest, manifest, full_hash)] if manifest and manifest.exists() else []
    return {
        "kind": "exchange", "exchanged_with": str(exchange_with), "source": [one.as_json() for one in prints],
        "removed_kept_in": [str(path) for path in (receipt.dropped_path, receipt.output) if path],
    }  # fmt: skip
