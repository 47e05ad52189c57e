"""Check a vector set in an RDB (Redis 8.0 and later) as its module does at load: dimensions, vectors, graph links.

A vector set is stored as the value of the module type `vectorset`: its dimension, size and configuration, an optional
projection matrix, then each element with its vector and the parameters of its node.  The module refuses the whole RDB
if one of them contradicts another.  Source: vset.c and hnsw.c of Redis 8.2 to 8.10.
"""

from collections.abc import Iterator

from aofdoctor.rdb.encoding.cursor import String
from aofdoctor.rdb.values.modules import ModulePart

VECTOR_SET = "vectorset"
_DIMENSION_MAX, _LEVEL_MAX, _LINKS_MAX = 1 << 15, 16, 1 << 14
_HAS_PROJECTION, _HAS_ATTRIBUTES = 1, 2
_FLOAT, _INT8, _BINARY = 0, 1, 2  # how the components of the vectors are stored


class _Refused(Exception):
    """The module refuses to load a vector set; the message is the reason."""


def vector_set_defect(version: int, parts: Iterator[ModulePart]) -> str:
    """Return why the module refuses to load a vector set; empty if it loads it.

    `parts` are the numbers and strings of the value; `version` is its encoding version.
    """
    try:
        _VectorSetCheck(parts).run(version)
    except _Refused as refused:
        return str(refused)
    return ""


class _VectorSetCheck:
    """Reads the parts of a vector set once, in order, and checks them.

    `links` is the XOR of a hash of every link of the graph: zero if each link is stored at both its ends.
    """

    def __init__(self, parts: Iterator[ModulePart]) -> None:
        self.parts = parts
        self.ids, self.names, self.links = set[int](), set[bytes](), 0

    def run(self, version: int) -> None:
        if version != 0:
            raise _Refused(f"encoding version {version} of a vector set")
        dimension, count, configuration = self._number(), self._number(), self._number()
        if not 0 < dimension <= _DIMENSION_MAX:
            raise _Refused(f"a vector set of {dimension} dimensions")
        flags = self._number()
        if flags & _HAS_PROJECTION:
            input_dimension = self._number()
            if not dimension <= input_dimension <= _DIMENSION_MAX:
                raise _Refused(f"a projection from {input_dimension} to {dimension} dimensions")
            self._require_size(4 * input_dimension * dimension)
        size = _vector_size(configuration & 0xFF, dimension)
        for _ in range(count):
            self._element(size, bool(flags & _HAS_ATTRIBUTES))
        if next(self.parts, None) is not None:
            raise _Refused(f"a vector set that continues after its {count} elements")
        if self.links:
            raise _Refused("a link between two elements of a vector set that only one of them has")

    def _element(self, vector_size: int, has_attributes: bool) -> None:
        name = self._string()
        if isinstance(name, bytes):
            if name in self.names:
                raise _Refused("an element of a vector set is stored twice")
            self.names.add(name)
        if has_attributes:
            self._string()
        self._require_size(vector_size)
        remaining = self._number()
        if remaining < 3:
            raise _Refused("an element of a vector set without its node")
        remaining -= 3  # the id, the level, and at the end the length of the vector
        node, level = self._number(), self._number()
        version, level = level >> 24 & 0xFF, level & 0xFF
        if not node or node in self.ids or version > 1 or level > _LEVEL_MAX:
            raise _Refused(f"node {node} of a vector set, at level {level}, is not one that a server writes")
        self.ids.add(node)
        for layer in range(level + 1):
            remaining -= self._layer(node, layer, remaining, version)
        if remaining:
            raise _Refused(f"node {node} of a vector set has {remaining} parameters too many")
        self._number()

    def _layer(self, node: int, layer: int, remaining: int, version: int) -> int:
        """Read and check the links of a node in one layer of the graph; return how many numbers were read."""
        count, most = self._number(), self._number()
        if count > most or most > _LINKS_MAX or 2 + count + version > remaining:
            raise _Refused(f"node {node} of a vector set has {count} links of {most} in layer {layer}")
        linked = [self._number() for _ in range(count)]
        if len(set(linked)) != count or node in linked:
            raise _Refused(f"node {node} of a vector set is linked twice, or to itself")
        for other in linked:
            self.links ^= hash((min(node, other), max(node, other), layer))
        if version and self._number() & 0xFFFFFFFF >= max(count, 1) and count:
            raise _Refused(f"node {node} of a vector set names a link that it does not have")
        return 2 + count + version

    def _number(self) -> int:
        part = next(self.parts, None)
        if part is None or part.kind != "unsigned" or not isinstance(part.value, int):
            raise _Refused("a part of a vector set that is no number")
        return part.value

    def _string(self) -> String:
        part = next(self.parts, None)
        if part is None or part.kind != "string" or isinstance(part.value, int | float):
            raise _Refused("a part of a vector set that is no string")
        return part.value

    def _require_size(self, size: int) -> None:
        found = len(self._string())
        if found != size:
            raise _Refused(f"{found} bytes of a vector that takes {size}")


def _vector_size(storage: int, dimension: int) -> int:
    """Return the size in bytes of a vector of `dimension` components; `storage` is _FLOAT, _INT8 or _BINARY."""
    if storage == _FLOAT:
        return 4 * dimension
    if storage == _INT8:
        return dimension
    if storage == _BINARY:
        return (dimension + 63) // 64 * 8
    raise _Refused(f"quantization {storage} of a vector set")
