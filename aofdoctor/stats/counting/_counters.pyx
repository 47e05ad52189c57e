# cython: language_level=3, boundscheck=False, wraparound=False
"""weigh.h, heavy.h and inventory.h for Python: the classes of plain_weigh.py, plain_heavy.py and plain_inventory.py."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy


cdef extern from "record_counters.h" nogil:
    enum:
        AOF_SLACK
        WEIGH_DBS
        WEIGH_ROWS
        WEIGH_BUCKETS
    ctypedef struct weigh_bucket:
        int64_t commands, bytes
        int64_t kinds[2]
        int64_t at[2]
    ctypedef struct weigh_line:
        int64_t width, low, high
        const int64_t *factors
        weigh_bucket *now
        weigh_bucket *bucket
        weigh_bucket *spare
    ctypedef struct weigh_row:
        int64_t commands, bytes
    ctypedef struct weigh_scale:
        const uint8_t *kinds
        size_t ids
        weigh_row *by_id
        weigh_row *by_db
        weigh_row untimed
        weigh_line times, places
    size_t weigh_run(weigh_scale *scale, int64_t place, const int64_t *edges, const uint16_t *ids, const int64_t *db,
                     const int64_t *time, const uint32_t *chosen, size_t count, int64_t least, uint32_t *large)

cdef extern from "heavy_hitters.h" nogil:
    enum:
        HEAVY_SETS
        HEAVY_WAYS
        HEAVY_SHOWN
        HEAVY_HEAD
        NAMES_SLOTS
        NAMES_SHOWN
    ctypedef struct heavy_name:
        int64_t commands, bytes, more
        uint32_t size, used
        const uint8_t name[1]
    ctypedef struct heavy_names:
        heavy_name *slot
        heavy_name others
    ctypedef struct heavy_key:
        int64_t count, error, spread, db
        uint64_t size
        const uint8_t name[1]
    ctypedef struct heavy_keys:
        uint64_t *tag
        heavy_key *key
    ctypedef struct heavy_rule:
        pass
    ctypedef struct heavy_sample:
        int64_t sure
    ctypedef struct heavy_tally:
        const heavy_rule *rules
        size_t ids
        uint8_t delimiter
        unsigned depth
        heavy_sample sample
        heavy_names prefixes, unknown
        heavy_keys bytes, writes
    void heavy_unknown(heavy_tally *t, const uint8_t *p, size_t size, int64_t weight)
    void heavy_one(heavy_tally *t, heavy_sample *sample, const uint8_t *p, size_t size, int64_t db, int64_t weight)
    void heavy_run(heavy_tally *t, const uint8_t *data, const int64_t *edges, const uint32_t *argc,
                   const uint16_t *ids, const int64_t *db, const uint32_t *chosen, size_t count)

cdef extern from "rdb_counters.h" nogil:
    ctypedef struct inventory_row:
        int64_t keys, bytes, expires
    ctypedef struct inventory:
        inventory_row by_type[256]
        inventory_row by_db[WEIGH_ROWS]
        uint8_t delimiter
        unsigned depth
        heavy_names prefixes
    void inventory_count(inventory *t, unsigned type, int64_t db, int64_t size, int expires)
    void inventory_name(inventory *t, const uint8_t *p, size_t size, int64_t bytes, int expires)
    size_t inventory_run(inventory *t, const int64_t *edges, const int64_t *name, const int64_t *expire,
                         const int64_t *db, const uint16_t *kind, size_t at, size_t stop, const uint8_t *data,
                         size_t size, int64_t base, int64_t least, uint32_t *large, size_t *noted)


include "../../buffers.pxi"


cdef class _Records(_Buffers):
    """Buffers, and records among them."""

    cdef const uint32_t *chosen(self, source, Py_ssize_t records, size_t *count) except? NULL:
        """The records that are counted; NULL for all of them."""
        cdef const uint32_t *indexes
        count[0] = records
        if source is None:
            return NULL
        indexes = <const uint32_t *>self.get(source, 0, False)
        count[0] = self.views[self.held - 1].len // 4
        for n in range(count[0]):
            if indexes[n] >= records:
                raise ValueError("a record that is not there")
        return indexes


cdef int _begin(weigh_line *line, int64_t width, const int64_t *factors) except -1:
    line.width = width
    line.high = -1
    line.factors = factors
    line.bucket = <weigh_bucket *>calloc(WEIGH_BUCKETS, sizeof(weigh_bucket))
    line.spare = <weigh_bucket *>calloc(WEIGH_BUCKETS, sizeof(weigh_bucket))
    if width < 1 or not line.bucket or not line.spare:
        raise ValueError("a width, and memory")
    for i in range(WEIGH_BUCKETS):
        line.bucket[i].at[0] = line.bucket[i].at[1] = -1
    return 0


cdef void _end(weigh_line *line) noexcept:
    free(line.bucket)
    free(line.spare)


cdef list _line_rows(weigh_line *line):
    cdef weigh_bucket *b
    rows = []
    for index in range(line.low, line.high + 1):
        b = &line.bucket[index % WEIGH_BUCKETS]
        rows.append((index, b.commands, b.bytes, b.kinds[0], b.at[0], b.kinds[1], b.at[1]))
    return rows


cdef list _rows(weigh_row *row, size_t count):
    return [(row[at].commands, row[at].bytes) for at in range(count)]


cdef class RecordCounters:
    """Counts and bytes; as in plain_weigh.py."""

    cdef weigh_scale scale
    cdef _Buffers held

    def __cinit__(self, bytes kinds not None, int64_t time_width, factors):
        self.held = _Buffers()
        self.scale.kinds = <const uint8_t *>self.held.get(kinds, 1, False)
        self.scale.ids = len(kinds)
        self.scale.by_id = <weigh_row *>calloc(len(kinds), sizeof(weigh_row))
        self.scale.by_db = <weigh_row *>calloc(WEIGH_ROWS, sizeof(weigh_row))
        if not self.scale.by_id or not self.scale.by_db or any(kind > 2 for kind in kinds):
            raise ValueError("kinds are 0 to 2")
        *widths, end = factors
        if end or any(factor < 2 for factor in widths):
            raise ValueError("factors end with a 0")
        _begin(&self.scale.times, time_width, <const int64_t *>self.held.get(factors, 8, False))
        _begin(&self.scale.places, 1, &_TWICE)

    def __dealloc__(self):
        free(self.scale.by_id)
        free(self.scale.by_db)
        _end(&self.scale.times)
        _end(&self.scale.places)

    def count_batch(self, batch, int64_t place, db, time, chosen, int64_t least, large):
        """How many of a batch's records have more than `least` bytes; `large` holds their indexes."""
        cdef _Records b = _Records()
        cdef size_t count, noted, records = batch.count
        cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (records + 1), False)
        cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * records, False)
        cdef const int64_t *db_p = <const int64_t *>b.get(db, 8 * records, False)
        cdef const int64_t *time_p = <const int64_t *>b.get(time, 8 * records, False)
        cdef uint32_t *large_p = <uint32_t *>b.get(large, 4 * records, True)
        cdef const uint32_t *chosen_p = b.chosen(chosen, records, &count)
        if place < 0:
            raise ValueError(place)
        with nogil:
            noted = weigh_run(&self.scale, place, edges, ids, db_p, time_p, chosen_p, count, least, large_p)
        return noted

    @property
    def by_id(self):
        return _rows(self.scale.by_id, self.scale.ids)

    @property
    def by_db(self):
        return _rows(self.scale.by_db, WEIGH_ROWS)

    @property
    def untimed(self):
        return self.scale.untimed.commands, self.scale.untimed.bytes

    @property
    def times(self):
        return self.scale.times.width, _line_rows(&self.scale.times)

    @property
    def positions(self):
        return self.scale.places.width, _line_rows(&self.scale.places)


cdef int64_t _TWICE = 0


cdef int _make_names(heavy_names *names) except -1:
    names.slot = <heavy_name *>calloc(NAMES_SLOTS, sizeof(heavy_name))
    if not names.slot:
        raise MemoryError
    return 0


cdef list _name_rows(heavy_names *names):
    cdef heavy_name *s
    rows = []
    for at in range(NAMES_SLOTS):
        s = &names.slot[at]
        if s.used:
            rows.append((<bytes>s.name[:s.size], s.commands, s.bytes, s.more))
    return rows


cdef tuple _others(heavy_names *names):
    return names.others.commands, names.others.bytes, names.others.more


cdef const uint8_t *_padded(uint8_t *room, size_t most, bytes data) except NULL:
    """The first bytes of `data`, with eight that can be read after them."""
    cdef const uint8_t *source = data
    memcpy(room, source, min(<size_t>len(data), most))
    return room


cdef class RdbKeyCounters:
    """The keys of an RDB in numbers; as in plain_inventory.py."""

    cdef inventory *counts

    def __cinit__(self, uint8_t delimiter, unsigned depth):
        self.counts = <inventory *>calloc(1, sizeof(inventory))
        if not self.counts:
            raise MemoryError
        self.counts.delimiter, self.counts.depth = delimiter, depth
        _make_names(&self.counts.prefixes)

    def __dealloc__(self):
        if self.counts:
            free(self.counts.prefixes.slot)
        free(self.counts)

    def count_items(self, columns, size_t at, size_t stop, data, int64_t base, int64_t least, large):
        """(the first item that was not counted, how many have more than `least` bytes)."""
        cdef _Buffers b = _Buffers()
        cdef size_t noted
        cdef const int64_t *edges = <const int64_t *>b.get(columns.edges, 8 * (stop + 1), False)
        cdef const int64_t *name = <const int64_t *>b.get(columns.name, 8 * stop, False)
        cdef const int64_t *expire = <const int64_t *>b.get(columns.expire, 8 * stop, False)
        cdef const int64_t *db = <const int64_t *>b.get(columns.db, 8 * stop, False)
        cdef const uint16_t *kind = <const uint16_t *>b.get(columns.kind, 2 * stop, False)
        cdef uint32_t *large_p = <uint32_t *>b.get(large, 4 * stop, True)
        cdef const uint8_t *bytes_p = <const uint8_t *>b.get(data, 0, False)
        cdef size_t size = b.views[b.held - 1].len
        if base < 0:
            raise ValueError(base)
        with nogil:
            at = inventory_run(self.counts, edges, name, expire, db, kind, at, stop, bytes_p, size, base, least,
                               large_p, &noted)
        return at, noted

    def count_key(self, bytes name not None, unsigned kind, int64_t db, int64_t size, bint expires):
        """Count one key by its name."""
        cdef uint8_t room[HEAVY_SHOWN + AOF_SLACK]
        cdef const uint8_t *p = _padded(room, HEAVY_SHOWN, name)
        if self.counts.depth:
            inventory_name(self.counts, p, min(<size_t>len(name), <size_t>HEAVY_SHOWN), size, expires)
        inventory_count(self.counts, kind, db, size, expires)

    @property
    def by_type(self):
        return [(r.keys, r.bytes, r.expires) for r in self.counts.by_type]

    @property
    def by_db(self):
        return [(r.keys, r.bytes, r.expires) for r in self.counts.by_db]

    @property
    def prefixes(self):
        return _name_rows(&self.counts.prefixes)

    @property
    def other_prefixes(self):
        return _others(&self.counts.prefixes)


cdef int _make_keys(heavy_keys *keys) except -1:
    keys.tag = <uint64_t *>calloc(HEAVY_SETS * HEAVY_WAYS, sizeof(uint64_t))
    keys.key = <heavy_key *>calloc(HEAVY_SETS * HEAVY_WAYS, sizeof(heavy_key))
    if not keys.tag or not keys.key:
        raise MemoryError
    return 0


cdef void _end_keys(heavy_keys *keys) noexcept:
    free(keys.tag)
    free(keys.key)


cdef list _key_rows(heavy_keys *keys):
    cdef heavy_key *k
    rows = []
    for at in range(HEAVY_SETS * HEAVY_WAYS):
        k = &keys.key[at]
        if keys.tag[at]:
            rows.append((<bytes>k.name[:min(k.size, <uint64_t>HEAVY_SHOWN)], k.size, k.db, k.count, k.error, k.spread))
    return rows


cdef int64_t _without(heavy_keys *keys):
    """No key without a place has more."""
    cdef int64_t most = 0, least
    cdef size_t way
    for at in range(HEAVY_SETS):
        least = -1
        for way in range(at * HEAVY_WAYS, (at + 1) * HEAVY_WAYS):
            if not keys.tag[way]:
                least = 0
            elif least < 0 or keys.key[way].count < least:
                least = keys.key[way].count
        most = max(most, least)
    return most


cdef class KeyCounters:
    """What keys are written; as in plain_heavy.py."""

    cdef heavy_tally tally
    cdef _Buffers held

    def __cinit__(self, bytes rules not None, uint8_t delimiter, unsigned depth, int64_t sure):
        if not depth or len(rules) % 4 or not rules:
            raise ValueError("four bytes a rule, and a depth")
        self.tally.sample.sure = sure
        self.held = _Buffers()
        self.tally.rules = <const heavy_rule *>self.held.get(rules, 4, False)
        self.tally.ids = len(rules) // 4
        self.tally.delimiter, self.tally.depth = delimiter, depth
        _make_names(&self.tally.prefixes)
        _make_names(&self.tally.unknown)
        _make_keys(&self.tally.bytes)
        _make_keys(&self.tally.writes)

    def __dealloc__(self):
        free(self.tally.prefixes.slot)
        free(self.tally.unknown.slot)
        _end_keys(&self.tally.bytes)
        _end_keys(&self.tally.writes)

    def count_batch(self, batch, db, chosen):
        """Count the records of a batch that is not far."""
        cdef _Records b = _Records()
        cdef size_t count, records = batch.count
        cdef Py_ssize_t origin = batch.origin
        cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (records + 1), False)
        cdef const uint32_t *argc = <const uint32_t *>b.get(batch.argc, 4 * records, False)
        cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * records, False)
        cdef const int64_t *db_p = <const int64_t *>b.get(db, 8 * records, False)
        cdef const uint8_t *data = <const uint8_t *>b.get(batch.buffer, origin + edges[records] + AOF_SLACK, False)
        cdef const uint32_t *chosen_p = b.chosen(chosen, records, &count)
        with nogil:
            heavy_run(&self.tally, data + origin, edges, argc, ids, db_p, chosen_p, count)

    def count_key(self, bytes head not None, size_t size, int64_t db, int64_t weight):
        """Count one write of a key of `size` bytes, of which `head` are the first HEAD."""
        cdef uint8_t room[HEAVY_HEAD + AOF_SLACK]
        if <size_t>len(head) < min(size, <size_t>HEAVY_HEAD):
            raise ValueError("the first bytes of a key")
        heavy_one(&self.tally, &self.tally.sample, _padded(room, HEAVY_HEAD, head), size, db, weight)

    def count_unknown(self, bytes name not None, int64_t weight):
        """Count one command that no server knows."""
        heavy_unknown(&self.tally, name, len(name), weight)

    @property
    def is_exact(self):
        return self.tally.sample.sure > 0

    @property
    def prefixes(self):
        return _name_rows(&self.tally.prefixes)

    @property
    def other_prefixes(self):
        return _others(&self.tally.prefixes)

    @property
    def unknown_names(self):
        return _name_rows(&self.tally.unknown)

    @property
    def other_unknown_names(self):
        return _others(&self.tally.unknown)

    @property
    def by_bytes(self):
        return _key_rows(&self.tally.bytes)

    @property
    def by_writes(self):
        return _key_rows(&self.tally.writes)

    @property
    def max_other_bytes(self):
        return _without(&self.tally.bytes)

    @property
    def max_other_writes(self):
        return _without(&self.tally.writes)
