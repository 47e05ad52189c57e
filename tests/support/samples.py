"""Small AOFs that several tests are about, and what they look at."""

from collections.abc import Callable
from pathlib import Path

from aofdoctor.resp import encode_command
from tests.support.servers import servers_by_line

StoryCopier = Callable[[str], Path]
SET = encode_command([b"SET", b"a", b"1"])
FLUSH = encode_command([b"FLUSHALL"])


def server_option(name: str) -> list[str]:
    """The option that names a server for a story which the embedded one does not load."""
    return ["--with", str(servers_by_line()["redis-8.2"].path)] if name == "wiped-redis-8.2" else []


def snapshot(path: Path) -> dict[str, tuple[bytes, float]]:
    """Every file below a path with its bytes and its time."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def make_small_set(folder: Path, parts: dict[str, bytes], manifest: bytes | None = None) -> Path:
    """A multi part AOF of incremental files with these bytes, listed in this order."""
    target = folder / "data" / "appendonlydir"
    target.mkdir(parents=True)
    lines = b""
    for number, (name, data) in enumerate(parts.items(), 1):
        kind = b"b" if name == "base" else b"i"
        path = target / f"a.aof.{number}.{'base' if name == 'base' else 'incr'}.aof"
        path.write_bytes(data)
        lines += b"file %b seq %d type %b\n" % (path.name.encode(), number, kind)
    (target / "a.aof.manifest").write_bytes(lines if manifest is None else manifest)
    return target
