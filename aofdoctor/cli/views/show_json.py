"""Print the JSON object of `show --json`: what is at one position of an AOF.

That is a command, an annotation, damage, an RDB, or a key or opcode in an RDB.
"""

import sys
from typing import Any

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.cli.console import print_json
from aofdoctor.cli.views.base_keys import describe_opcode, key_detail_json
from aofdoctor.cli.views.record_lines import write_json
from aofdoctor.log.locate import PositionContent


def print_content_json(located: PositionContent) -> None:
    """Print what is at one position of an AOF as one JSON object; a command has the fields of `log --json`."""
    if located.entry and located.entry.batch.ids[located.entry.i] != ANNOTATION:
        sys.stdout.flush()
        write_json(located.entry, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    print_json({"part": located.part.name} | _item_json(located))


def _item_json(located: PositionContent) -> dict[str, Any]:
    if located.entry:
        span = located.entry.batch.record_span(located.entry.i)
        return {"offset": span.start, "size": span.size, "annotation": located.entry.batch.annotation(located.entry.i)}
    if located.damage:
        d = located.damage
        return {
            "offset": d.span.start,
            "size": d.span.size,
            "damage": d.kind.value,
            "guess": d.end_is_guess,
            "note": d.note,
        }
    if located.base_key:
        return key_detail_json(located.base_key)
    assert located.preamble
    if located.item:
        return {
            "offset": located.item.span.start,
            "size": located.item.span.size,
            "rdb_item": describe_opcode(located.item),
        }
    aux = located.preamble.aux
    return {"offset": 0, "size": located.preamble.span.size, "preamble": text.escape(located.preamble.magic),
            "keys": located.preamble.keys, "aux": {text.escape(k): v for k, v in aux.items()}}  # fmt: skip
