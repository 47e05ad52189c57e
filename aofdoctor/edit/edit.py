"""The interface that every edit of an AOF implements, and the one procedure that writes an edit to disk.

An edit knows which AOF it changes, writes the files of its output, checks them, and describes itself as JSON: a `Plan`
drops byte ranges, a `Conversion` makes new bytes. `write_edit` does everything else in the same way for all edits:
names, room, fingerprints, owners, manifest, receipt, and the rename. Killed at any point, it leaves nothing under a
final name, and the source is never written to.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.edit.output.attributes import Ownership
from aofdoctor.edit.output.durable import (
    json_bytes,
    require_free_name,
    require_space,
    write_durably,
)
from aofdoctor.edit.output.fingerprint import fingerprint_source
from aofdoctor.edit.output.interrupted import clean_up, interrupts_deferred, rename_into_place, scratch_directory
from aofdoctor.edit.output.job import DroppedWriter, NewManifest, OnBytesDone, OutputJob
from aofdoctor.edit.output.receipt import (
    OutputVerifier,
    Receipt,
    exchange_json,
    growth_warning,
    outputs_json,
    receipt_header_json,
)
from aofdoctor.errors import RefusedEdit

EncodeKey = Callable[[bytes], object]  # the JSON form of a key name
# Opens a progress bar from the total number of bytes and a label; it is updated with the bytes done.
OpenProgress = Callable[[int, str], AbstractContextManager[OnBytesDone | None]]


def no_progress(total: int, label: str) -> AbstractContextManager[None]:
    """A context manager with the signature of `OpenProgress` that shows no progress bar."""
    return nullcontext()


class Edit(Protocol):
    """A planned edit of one AOF, which can be shown, saved as a plan file, written and checked."""

    aof: AOF
    recipe: dict[str, Any]

    @property
    def verb(self) -> str:
        """The name of the verb that makes this edit, as the receipt records it."""

    @property
    def size(self) -> int:
        """The number of bytes that the edit reads from the AOF's files; the total of the progress bar."""

    @property
    def is_counted_by_writing(self) -> bool:
        """Whether the totals of the result are known only after `dry_run` or `write_parts`, not after planning."""

    def dry_run(self, on_progress: OnBytesDone | None) -> None:
        """Compute the totals of the result without writing files; does nothing if planning has computed the totals."""

    def totals_json(self) -> dict[str, Any]:
        """The totals of the result as JSON.

        A saved plan is accepted only if the edit, planned again, has equal totals.
        """

    def saved_json(self) -> dict[str, Any]:
        """The fields about the result in a saved plan file; includes the totals."""

    def outcome_json(self, encode_key: EncodeKey) -> dict[str, Any]:
        """The result of the edit as the verbs print it with --json, without paths and receipt."""

    def require_exchangeable(self) -> None:
        """Raise RefusedEdit if the output must not replace the source's files, NothingToDo if it would be the same."""

    @property
    def writes_directory(self) -> bool:
        """Whether the output is a directory with a manifest; otherwise it is one file."""

    @property
    def dropped_writer(self) -> DroppedWriter | None:
        """The function that fills OUT.lost with the dropped bytes, or None if the edit has no OUT.lost."""

    def space_needed(self, may_link: bool) -> int:
        """The free bytes that the output needs on disk; with `may_link` unchanged files may be hard links."""

    def write_parts(self, job: OutputJob) -> None:
        """Write every file of the output durably, and give each file its owner."""

    def manifest(self) -> NewManifest:
        """The manifest of an output that is a directory; called after all other files have been written."""

    def check(self, path: Path) -> None:
        """Read the output at `path` back; raise RefusedEdit if it differs from what was planned."""

    def receipt_json(self, header: dict[str, Any], exchanged: dict[str, Any], receipt: Receipt) -> dict[str, Any]:
        """The content of the receipt: the common header, the fields of this edit, and those of an edit in place."""


def write_edit(
    edit: Edit,
    output: Path,
    on_progress: OnBytesDone | None = None,
    verifier: OutputVerifier | None = None,
    full_hash: bool = False,
    exchange_with: Path | None = None,
) -> Receipt:
    """Write an edit to a new file or directory.

    `verifier` is called with the finished output before the output gets its name, and raises to reject it.  With
    `full_hash` the receipt has a SHA-256 of every file.  `exchange_with` is the path that the output will exchange
    its name with later, for the receipt.  Raises RefusedEdit or SourceChanged; nothing is left then.
    """
    clean_up(output)
    receipt = _plan_names(edit, output)
    require_space(output.absolute().parent, edit.space_needed(may_link=exchange_with is not None))
    ownership = Ownership(output, receipt.warnings)
    with scratch_directory(output) as folder:
        files = [AOF.require_file(part) for part in edit.aof.existing_parts]
        sources = [fingerprint_source(file, full_hash).as_json() for file in files]
        job = OutputJob(folder / ("set" if edit.writes_directory else "aof"), ownership, on_progress,
                        may_link=exchange_with is not None)  # fmt: skip
        finished = _write_output(edit, job, receipt, folder)
        edit.check(job.path)
        receipt.warnings += filter(None, map(growth_warning, files))
        proof = verifier(job.path) if verifier else {}
        header = receipt_header_json(edit.verb) | proof
        header |= {"source": sources, "output": outputs_json(job.path, output, full_hash)}
        exchanged = exchange_json(edit.aof, receipt, exchange_with, full_hash) if exchange_with else {}
        header |= {"attributes_not_kept": ownership.not_kept} if ownership.not_kept else {}
        write_durably(folder / "receipt", json_bytes(edit.receipt_json(header, exchanged, receipt)))
        try:
            with interrupts_deferred():
                rename_into_place(folder, [*finished, (folder / "receipt", receipt.path), (job.path, output)])
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"interrupted after {text.display_path(str(output))} was complete")
            raise
    return receipt


def _plan_names(edit: Edit, output: Path) -> Receipt:
    """The paths that `write_edit` will create; raise RefusedEdit if one of the paths exists."""
    if output.exists() and output.samefile(Path()):
        raise RefusedEdit("the output cannot be the directory that you are in", "name a new file or directory")
    receipt = Receipt(output, output.with_name(output.name + ".receipt.json"))
    if edit.dropped_writer:
        receipt.dropped_path = output.with_name(output.name + ".lost")
    require_free_name(output, directory=edit.writes_directory)
    require_free_name(receipt.path)
    if receipt.dropped_path:
        require_free_name(receipt.dropped_path)
    return receipt


def _write_output(edit: Edit, job: OutputJob, receipt: Receipt, folder: Path) -> list[tuple[Path, Path]]:
    """Write the output to its scratch path.

    Returns (scratch path, final path) of each other file or directory that was written, such as OUT.lost.
    """
    if edit.writes_directory:
        job.path.mkdir(mode=0o700)
    edit.write_parts(job)
    if edit.writes_directory:
        job.write_manifest(edit.manifest())
    if not (edit.dropped_writer and receipt.dropped_path):
        return []
    edit.dropped_writer(folder / "lost", job.ownership)
    return [(folder / "lost", receipt.dropped_path)]
