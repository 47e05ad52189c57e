"""The kinds of damage that bytes of an AOF can have, and their meaning for a reader of the report.

The reaction of a server is not part of this table.  It depends on the server's
version, on the place of the damage and on the bytes around it;
server/loader.py predicts it.
"""

from dataclasses import dataclass
from enum import StrEnum

from aofdoctor.span import Span


class DamageKind(StrEnum):
    """A kind of damage in an AOF or RDB; the value of a member is the code that --json prints."""

    TORN = "torn"
    IN_FLIGHT = "in-flight"
    NUL_TAIL = "nul-tail"
    NUL_HOLE = "nul-hole"
    GARBAGE = "garbage"
    LEADING_GARBAGE = "leading-garbage"
    BAD_HEADER = "bad-header"
    BAD_LENGTH = "bad-length"
    MISSING_CRLF = "missing-crlf"
    LINE_ENDS = "line-ends"
    ENCODING = "encoding"
    ZERO_ARGC = "zero-argc"
    NEGATIVE_LENGTH = "negative-length"
    UNTERMINATED_ANNOTATION = "unterminated-annotation"
    UNCLOSED_MULTI = "unclosed-multi"
    TORN_TRANSACTION = "torn-transaction"
    TRUNCATED_PREAMBLE = "truncated-preamble"
    CORRUPT_PREAMBLE = "corrupt-preamble"
    CORRUPT_VALUE = "corrupt-value"
    CORRUPT_FUNCTION = "corrupt-function"
    DUPLICATE_NAME = "duplicate-name"
    SECOND_AOF = "second-aof"
    UNREADABLE = "unreadable"


DAMAGE_MEANINGS: dict[DamageKind, str] = {
    DamageKind.TORN: "the file ends inside a record",
    DamageKind.IN_FLIGHT: "a record that is still being written: the file has grown since it was opened",
    DamageKind.NUL_TAIL: "NUL bytes up to the end of the file, as after a power cut",
    DamageKind.NUL_HOLE: "NUL bytes where records should be",
    DamageKind.GARBAGE: "bytes that are no record",
    DamageKind.LEADING_GARBAGE: "bytes before the first record",
    DamageKind.BAD_HEADER: "a header that is not a mark, digits and CRLF",
    DamageKind.BAD_LENGTH: "a length that points past the next record or the end of the file",
    DamageKind.MISSING_CRLF: "no CRLF where an argument should end",
    DamageKind.LINE_ENDS: "line ends were changed, as by a transfer in text mode",
    DamageKind.ENCODING: "the text encoding was changed, as by an editor or a transfer in text mode",
    DamageKind.ZERO_ARGC: "a command of no arguments",
    DamageKind.NEGATIVE_LENGTH: "a negative length",
    DamageKind.UNTERMINATED_ANNOTATION: "the last annotation has no line end: a server would append to that line",
    DamageKind.UNCLOSED_MULTI: "a MULTI without its EXEC",
    DamageKind.TORN_TRANSACTION: "a MULTI that a server left open when it restarted: its EXEC is missing",
    DamageKind.TRUNCATED_PREAMBLE: "the file ends inside the RDB",
    DamageKind.CORRUPT_PREAMBLE: "the RDB is damaged",
    DamageKind.CORRUPT_VALUE: "a value of the RDB that cannot be loaded",
    DamageKind.CORRUPT_FUNCTION: "a function library of the RDB that cannot be loaded",
    DamageKind.DUPLICATE_NAME: "a name that the RDB holds twice",
    DamageKind.SECOND_AOF: "an RDB among the commands: a second AOF begins here",
    DamageKind.UNREADABLE: "the disk does not give these bytes",
}


# Damage that holds no whole command: part of one, a transaction with counted commands, or keys of an RDB.  Any other
# damage may have been any number of commands.
WITHOUT_HIDDEN_COMMANDS = frozenset({
    DamageKind.TORN, DamageKind.IN_FLIGHT, DamageKind.ZERO_ARGC, DamageKind.UNTERMINATED_ANNOTATION,
    DamageKind.UNCLOSED_MULTI, DamageKind.TORN_TRANSACTION, DamageKind.TRUNCATED_PREAMBLE, DamageKind.CORRUPT_PREAMBLE,
    DamageKind.CORRUPT_VALUE, DamageKind.CORRUPT_FUNCTION, DamageKind.DUPLICATE_NAME,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Damage:
    """A range of bytes in a file that are not a valid command, annotation or RDB.

    `note` describes the details, with offsets in the file.  `end_is_guess` is true
    if the end was found by a search for the next record, which can be wrong.
    """

    span: Span
    kind: DamageKind
    note: str = ""
    end_is_guess: bool = False
