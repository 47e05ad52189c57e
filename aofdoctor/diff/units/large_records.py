"""Digests of records with an argument that is too large for memory.

Each equals the digest that the compiled code computes for the same record when
it fits into memory.
"""

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.hashing.arguments import align_pieces, feed_arguments, feed_span
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.rdb.export.command_args import CommandArgs
from aofdoctor.rdb.export.resp import encode_commands


def large_record_digest(rules: ComparisonRules, batch: RecordBatch) -> int:
    """Return the digest of the only record of an oversized batch; 0 for an annotation."""
    digest, number = Digest(rules.key), batch.ids[0]
    if batch.argc[0] == 0:
        return 0
    if rules.exact:
        span = batch.record_span(0)
        return feed_span(digest.add_number(span.size), batch.source, span).value()
    for n, arg in enumerate(batch.args(0)):
        feed_arguments(digest, arg, lowercase=n < rules.name_count(number))
    return digest.value()


def large_command_digest(rules: ComparisonRules, command: CommandArgs, number: int) -> int:
    """Return the digest of the record that a command exported from an RDB would have; `number` is the command id."""
    digest = Digest(rules.key)
    if rules.exact:
        digest.add_number(record_size(command))
        encoded = (piece for piece in encode_commands([command]) if isinstance(piece, bytes))
        for piece in align_pieces(encoded):
            digest.add_bytes(piece)
        return digest.value()
    for n, word in enumerate(command):
        feed_arguments(digest, word, lowercase=n < rules.name_count(number))
    return digest.value()


def record_size(command: CommandArgs) -> int:
    """Return the size in bytes of the AOF record that a command would have."""
    header_bytes = sum(len(b"$%d\r\n\r\n" % len(word)) for word in command)
    return len(b"*%d\r\n" % len(command)) + header_bytes + sum(map(len, command))
