"""Count the module data of an RDB by module type: the keys with such a value, and the auxiliary fields.

A server refuses an RDB with data of a module that it does not have.  The RDB is walked a second time, so callers do
this only if the first walk has met such data.
"""

from dataclasses import dataclass

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.items import ItemReader
from aofdoctor.rdb.opcodes import Opcode, RdbType
from aofdoctor.rdb.values.modules import read_module_type
from aofdoctor.source import Source

NAMES_MAX = 100  # module types that are counted by name
OTHER_TYPES = "others"
_MODULE_KINDS = frozenset({int(RdbType.MODULE_2), int(Opcode.MODULE_AUX)})


@dataclass(slots=True)
class ModuleData:
    """The data of one module type in an RDB: keys, auxiliary fields, and the offset of the first of them."""

    name: str
    start: int
    keys: int = 0
    aux: int = 0

    def add(self, is_key: bool) -> None:
        """Count a key with such a value, or an auxiliary field."""
        self.keys += is_key
        self.aux += not is_key


def count_module_data(source: Source) -> list[ModuleData]:
    """Return the module data of the RDB at the start of `source` by type, up to the first damage."""
    found: dict[str, ModuleData] = {}
    items = ItemReader(source, verify=False)
    cursor = Cursor(items.source)
    for batch in items:
        columns = batch.columns
        for i in range(batch.first, batch.stop):
            if columns.kind[i] in _MODULE_KINDS:
                name = module_name(cursor, columns.value[i])
                if name not in found and len(found) >= NAMES_MAX:
                    name = OTHER_TYPES
                found.setdefault(name, ModuleData(name, columns.edges[i])).add(columns.name[i] >= 0)
    return list(found.values())


def module_name(cursor: Cursor, offset: int) -> str:
    """Return the nine characters of the module type with its id at `offset`; a question mark if it cannot be read."""
    cursor.seek(offset)
    try:
        return read_module_type(cursor).name
    except DecodeError:
        return "?"
