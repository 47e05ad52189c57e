"""The commands of a stream as a server's AOF rewrite writes them, without the key.

Unlike rdb/export/stream_commands.py, which recreates a stream, it includes
pending entries even if their stream entry was deleted, because the content of
the server is compared.  Source: rewriteStreamObject in aof.c (Redis 7.0).
"""

from collections.abc import Iterable, Iterator

from aofdoctor.rdb.encoding.cursor import String
from aofdoctor.rdb.export.command_args import CommandArgs
from aofdoctor.rdb.values.streams import (
    Consumer,
    ConsumerGroup,
    PendingEntry,
    ProducerEntry,
    StreamEntry,
    StreamId,
    StreamMeta,
    StreamPart,
)


def rewrite_stream(parts: Iterable[StreamPart]) -> Iterator[CommandArgs]:
    """Yield the commands of a stream; the argument for the key is empty."""
    entries, pending_free_consumer = 0, None
    group: String = b""
    consumer: String = b""
    for part in parts:
        if pending_free_consumer is not None and not isinstance(part, PendingEntry):
            yield _create_consumer(group, pending_free_consumer)
        pending_free_consumer = None
        if isinstance(part, StreamEntry):
            entries += 1
            yield [b"XADD", b"", bytes(part.id), *part.items]
        elif isinstance(part, StreamMeta):
            yield from _stream_metadata(part, entries)
        elif isinstance(part, ConsumerGroup):
            group = part.name
            read = b"%d" % (-1 if part.entries_read is None else part.entries_read)
            yield [b"XGROUP", b"CREATE", b"", part.name, bytes(part.last_id), b"ENTRIESREAD", read]
        elif isinstance(part, Consumer):
            consumer = pending_free_consumer = part.name
        elif isinstance(part, PendingEntry):
            yield _claim(group, consumer if part.is_owned else b"", part)
        elif isinstance(part, ProducerEntry):
            # No command represents it; IDMP is invented, so that the entry is part of the digest.
            yield [b"IDMP", b"", part.producer, part.idempotent_id, bytes(part.id)]
    if pending_free_consumer is not None:
        yield _create_consumer(group, pending_free_consumer)


def _stream_metadata(meta: StreamMeta, entries: int) -> Iterator[CommandArgs]:
    if not entries:
        yield [b"XADD", b"", b"MAXLEN", b"0", b"0-1", b"x", b"y"]
    added = meta.length if meta.entries_added is None else meta.entries_added
    yield [
        b"XSETID", b"", bytes(meta.last_id), b"ENTRIESADDED", b"%d" % added,
        b"MAXDELETEDID", bytes(meta.max_deleted_id or StreamId(0, 0)),
    ]  # fmt: skip


def _create_consumer(group: String, consumer: String) -> CommandArgs:
    """XGROUP CREATECONSUMER, for a consumer with no pending entry; XCLAIM creates any other."""
    return [b"XGROUP", b"CREATECONSUMER", b"", group, consumer]


def _claim(group: String, consumer: String, pending: PendingEntry) -> CommandArgs:
    return [
        b"XCLAIM", b"", group, consumer, b"0", bytes(pending.id), b"TIME", b"%d" % pending.delivered_ms,
        b"RETRYCOUNT", b"%d" % pending.deliveries, b"JUSTID", b"FORCE",
    ]  # fmt: skip
