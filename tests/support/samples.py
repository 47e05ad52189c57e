"""Small AOFs that several tests use, and snapshots of files."""

from collections.abc import Callable
from pathlib import Path

from aofdoctor.resp import encode_command
from tests.support.servers import servers_by_line

StoryCopier = Callable[[str], Path]
SET = encode_command([b"SET", b"a", b"1"])
FLUSH = encode_command([b"FLUSHALL"])


def server_option(name: str) -> list[str]:
    """Return --with SERVER for a fixture that the bundled server does not load."""
    return ["--with", str(servers_by_line()["redis-8.2"].path)] if name == "wiped-redis-8.2" else []


def snapshot(path: Path) -> dict[str, tuple[bytes, float]]:
    """Return every file below a path with its bytes and modification time."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def make_small_set(folder: Path, parts: dict[str, bytes], manifest: bytes | None = None) -> Path:
    """Write a multi-part AOF with these parts, listed in this order."""
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


HISTORY = b"".join([
    b"#TS:1700000000\r\n", encode_command([b"SELECT", b"0"]), encode_command([b"SET", b"user:1", b"ann"]),
    b"#TS:1700000060\r\n", encode_command([b"MULTI"]), encode_command([b"SELECT", b"3"]), encode_command([b"DEL", b"user:1", b"user:2"]), encode_command([b"EXEC"]),
    b"#TS:1700000120\r\n", encode_command([b"FLUSHDB"]), encode_command([b"SET", b"\x1b]0;gone\x07\xff", b"\x00 x"]),
    encode_command([b"NOSUCH", b"k"]),
])  # fmt: skip


def full_snapshot(path: Path) -> dict[str, tuple[object, ...]]:
    """Return bytes, inode, owner, mode and modification time of a file, or of a directory and its entries."""
    paths = [path, *sorted(path.iterdir())] if path.is_dir() else [path]
    return {
        str(p): (p.read_bytes() if p.is_file() else b"", s.st_ino, s.st_uid, s.st_gid, s.st_mode, s.st_mtime_ns)
        for p in paths for s in [p.stat()]
    }  # fmt: skip
