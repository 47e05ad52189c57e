# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled counters of stats: bindings of record_counters.h, heavy_hitters.h, rdb_counters.h; see their fallbacks."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from aofdoctor.stats.counting.constants import HASH_SEED


cdef extern from "record_counters.h" nogil:
    enum:
        SCAN_SLACK
        RECORDS_TRACKED_DBS
        RECORDS_DB_ROWS
        RECORDS_MAX_BUCKETS
    ctypedef struct records_bucket:
        int64_t commands, bytes
        int64_t kinds[2]
        int64_t first_at[2]
    ctypedef struct records_buckets:
        int64_t width, low, high
        const int64_t *factors
        records_bucket *current
        records_bucket *bucket
        records_bucket *spare
    ctypedef struct records_count:
        int64_t commands, bytes
    ctypedef struct records_counters:
        const uint8_t *burst_kinds
        size_t ids
        records_count *by_id
        records_count *by_db
        records_count untimed
        records_buckets times, positions
    size_t records_count_batch(records_counters *counters, int64_t place, const int64_t *edges, const uint16_t *ids, const int64_t *db,
                     const int64_t *time, const uint32_t *indexes, size_t count, int64_t threshold, uint32_t *larger)

cdef extern from "heavy_hitters.h" nogil:
    uint64_t hitters_seed
    enum:
        HITTERS_SETS, HITTERS_WAYS
        HITTERS_KEY_BYTES_KEPT, HITTERS_KEY_BYTES_COMPARED
        HITTERS_NAMES_SLOTS, HITTERS_NAME_BYTES_KEPT
    ctypedef struct hitters_name:
        int64_t commands, bytes, extra
        uint32_t size, used
        const uint8_t name[1]
    ctypedef struct hitters_names:
        hitters_name *slot
        hitters_name overflow
    ctypedef struct hitters_key:
        int64_t count, error, variance, db
        uint64_t size
        const uint8_t name[1]
    ctypedef struct hitters_keys:
        uint64_t *tag
        hitters_key *key
    ctypedef struct hitters_key_rule:
        pass
    ctypedef struct hitters_sample:
        int64_t exact_bytes
    ctypedef struct hitters_counters:
        const hitters_key_rule *rules
        size_t ids
        uint8_t delimiter
        unsigned depth
        hitters_sample sample
        hitters_names prefixes, unknown
        hitters_keys bytes, writes
    void hitters_count_unknown(hitters_counters *t, const uint8_t *p, size_t size, int64_t weight)
    void hitters_count_key(hitters_counters *t, hitters_sample *sample, const uint8_t *p, size_t size, int64_t db, int64_t weight)
    void hitters_count_batch(hitters_counters *t, const uint8_t *data, const int64_t *edges, const uint32_t *argc,
                   const uint16_t *ids, const int64_t *db, const uint32_t *indexes, size_t count)

cdef extern from "rdb_counters.h" nogil:
    ctypedef struct rdbkeys_row:
        int64_t keys, bytes, expires
    ctypedef struct rdbkeys_counters:
        rdbkeys_row by_type[256]
        rdbkeys_row by_db[RECORDS_DB_ROWS]
        uint8_t delimiter
        unsigned depth
        hitters_names prefixes
    void rdbkeys_count_key(rdbkeys_counters *t, unsigned type, int64_t db, int64_t size, int expires)
    void rdbkeys_count_prefix(rdbkeys_counters *t, const uint8_t *p, size_t size, int64_t bytes, int expires)
    size_t rdbkeys_count_items(rdbkeys_counters *t, const int64_t *edges, const int64_t *name, const int64_t *expire,
                         const int64_t *db, const uint16_t *kind, size_t at, size_t stop, const uint8_t *data,
                         size_t size, int64_t base, int64_t threshold, uint32_t *larger, size_t *larger_count)


include "../../buffers.pxi"


cdef class _Records(_Buffers):
    """Holds the buffers of a batch of AOF records while they are counted, and the indexes of the records to count."""

    cdef const uint32_t *selected_indexes(self, source, Py_ssize_t records, size_t *count) except? NULL:
        """Return the indexes of the records to count, or NULL for all; `count` is set to their number."""
        cdef const uint32_t *indexes
        count[0] = records
        if source is None:
            return NULL
        indexes = <const uint32_t *>self.get(source, 0, False)
        count[0] = self.views[self.count - 1].len // 4
        for n in range(count[0]):
            if indexes[n] >= records:
                raise ValueError("a record that is not there")
        return indexes


cdef int _init_buckets(records_buckets *buckets, int64_t width, const int64_t *factors) except -1:
    buckets.width = width
    buckets.high = -1
    buckets.factors = factors
    buckets.bucket = <records_bucket *>calloc(RECORDS_MAX_BUCKETS, sizeof(records_bucket))
    buckets.spare = <records_bucket *>calloc(RECORDS_MAX_BUCKETS, sizeof(records_bucket))
    if width < 1 or not buckets.bucket or not buckets.spare:
        raise ValueError("a width, and memory")
    for i in range(RECORDS_MAX_BUCKETS):
        buckets.bucket[i].first_at[0] = buckets.bucket[i].first_at[1] = -1
    return 0


cdef void _free_buckets(records_buckets *buckets) noexcept:
    free(buckets.bucket)
    free(buckets.spare)


cdef list _bucket_rows(records_buckets *buckets):
    cdef records_bucket *b
    rows = []
    for index in range(buckets.low, buckets.high + 1):
        b = &buckets.bucket[index % RECORDS_MAX_BUCKETS]
        rows.append((index, b.commands, b.bytes, b.kinds[0], b.first_at[0], b.kinds[1], b.first_at[1]))
    return rows


cdef list _command_counts(records_count *row, size_t count):
    return [(row[at].commands, row[at].bytes) for at in range(count)]


cdef class RecordCounters:
    """Count commands and bytes by command name, database, time and offset; documented in _pyrecord_counters.py."""

    cdef records_counters counters
    cdef _Buffers held

    def __cinit__(self, bytes burst_kinds not None, int64_t time_width, factors):
        self.held = _Buffers()
        self.counters.burst_kinds = <const uint8_t *>self.held.get(burst_kinds, 1, False)
        self.counters.ids = len(burst_kinds)
        self.counters.by_id = <records_count *>calloc(len(burst_kinds), sizeof(records_count))
        self.counters.by_db = <records_count *>calloc(RECORDS_DB_ROWS, sizeof(records_count))
        if not self.counters.by_id or not self.counters.by_db or any(kind > 2 for kind in burst_kinds):
            raise ValueError("kinds are 0 to 2")
        *widths, end = factors
        if end or any(factor < 2 for factor in widths):
            raise ValueError("factors end with a 0")
        _init_buckets(&self.counters.times, time_width, <const int64_t *>self.held.get(factors, 8, False))
        _init_buckets(&self.counters.positions, 1, &_NO_FACTORS)

    def __dealloc__(self):
        free(self.counters.by_id)
        free(self.counters.by_db)
        _free_buckets(&self.counters.times)
        _free_buckets(&self.counters.positions)

    def count_batch(self, batch, int64_t log_offset, db, time, indexes, int64_t threshold, larger_indexes):
        """Count the commands of a batch; return the number of those with more than `threshold` bytes."""
        cdef _Records b = _Records()
        cdef size_t count, larger_count, records = batch.count
        cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (records + 1), False)
        cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * records, False)
        cdef const int64_t *db_p = <const int64_t *>b.get(db, 8 * records, False)
        cdef const int64_t *time_p = <const int64_t *>b.get(time, 8 * records, False)
        cdef uint32_t *larger_p = <uint32_t *>b.get(larger_indexes, 4 * records, True)
        cdef const uint32_t *indexes_p = b.selected_indexes(indexes, records, &count)
        if log_offset < 0:
            raise ValueError(log_offset)
        with nogil:
            larger_count = records_count_batch(&self.counters, log_offset, edges, ids, db_p, time_p, indexes_p, count, threshold,
                                        larger_p)
        return larger_count

    @property
    def by_id(self):
        return _command_counts(self.counters.by_id, self.counters.ids)

    @property
    def by_db(self):
        return _command_counts(self.counters.by_db, RECORDS_DB_ROWS)

    @property
    def untimed(self):
        return self.counters.untimed.commands, self.counters.untimed.bytes

    @property
    def times(self):
        return self.counters.times.width, _bucket_rows(&self.counters.times)

    @property
    def positions(self):
        return self.counters.positions.width, _bucket_rows(&self.counters.positions)


cdef int64_t _NO_FACTORS = 0
hitters_seed = HASH_SEED


cdef int _alloc_names(hitters_names *names) except -1:
    names.slot = <hitters_name *>calloc(HITTERS_NAMES_SLOTS, sizeof(hitters_name))
    if not names.slot:
        raise MemoryError
    return 0


cdef list _name_rows(hitters_names *names):
    cdef hitters_name *s
    rows = []
    for at in range(HITTERS_NAMES_SLOTS):
        s = &names.slot[at]
        if s.used:
            rows.append((<bytes>s.name[:s.size], s.commands, s.bytes, s.extra))
    return rows


cdef tuple _overflow_row(hitters_names *names):
    return names.overflow.commands, names.overflow.bytes, names.overflow.extra


cdef const uint8_t *_padded(uint8_t *padded, size_t size_max, bytes data) except NULL:
    """Copy the first bytes of `data` to a buffer in which eight more bytes can be read after them."""
    cdef const uint8_t *source = data
    memcpy(padded, source, min(<size_t>len(data), size_max))
    return padded


cdef class RdbKeyCounters:
    """Count the keys of an RDB by type, database and prefix; documented in _pyrdb_counters.py."""

    cdef rdbkeys_counters *counts

    def __cinit__(self, uint8_t delimiter, unsigned depth):
        self.counts = <rdbkeys_counters *>calloc(1, sizeof(rdbkeys_counters))
        if not self.counts:
            raise MemoryError
        self.counts.delimiter, self.counts.depth = delimiter, depth
        _alloc_names(&self.counts.prefixes)

    def __dealloc__(self):
        if self.counts:
            free(self.counts.prefixes.slot)
        free(self.counts)

    def count_items(self, columns, size_t at, size_t stop, data, int64_t data_offset, int64_t threshold, larger_indexes):
        """Count RDB keys; return (the index of the first item that was not counted, the number of larger keys)."""
        cdef _Buffers b = _Buffers()
        cdef size_t larger_count
        cdef const int64_t *edges = <const int64_t *>b.get(columns.edges, 8 * (stop + 1), False)
        cdef const int64_t *name = <const int64_t *>b.get(columns.name, 8 * stop, False)
        cdef const int64_t *expire = <const int64_t *>b.get(columns.expire, 8 * stop, False)
        cdef const int64_t *db = <const int64_t *>b.get(columns.db, 8 * stop, False)
        cdef const uint16_t *kind = <const uint16_t *>b.get(columns.kind, 2 * stop, False)
        cdef uint32_t *larger_p = <uint32_t *>b.get(larger_indexes, 4 * stop, True)
        cdef const uint8_t *bytes_p = <const uint8_t *>b.get(data, 0, False)
        cdef size_t size = b.views[b.count - 1].len
        if data_offset < 0:
            raise ValueError(data_offset)
        with nogil:
            at = rdbkeys_count_items(self.counts, edges, name, expire, db, kind, at, stop, bytes_p, size, data_offset, threshold,
                               larger_p, &larger_count)
        return at, larger_count

    def count_key(self, bytes name not None, unsigned type_byte, int64_t db, int64_t size, bint expires):
        """Add one RDB key to the counts by type, database and prefix; `name` is its decoded name."""
        cdef uint8_t padded[HITTERS_KEY_BYTES_KEPT + SCAN_SLACK]
        cdef const uint8_t *p = _padded(padded, HITTERS_KEY_BYTES_KEPT, name)
        if self.counts.depth:
            rdbkeys_count_prefix(self.counts, p, min(<size_t>len(name), <size_t>HITTERS_KEY_BYTES_KEPT), size, expires)
        rdbkeys_count_key(self.counts, type_byte, db, size, expires)

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
        return _overflow_row(&self.counts.prefixes)


cdef int _alloc_keys(hitters_keys *keys) except -1:
    keys.tag = <uint64_t *>calloc(HITTERS_SETS * HITTERS_WAYS, sizeof(uint64_t))
    keys.key = <hitters_key *>calloc(HITTERS_SETS * HITTERS_WAYS, sizeof(hitters_key))
    if not keys.tag or not keys.key:
        raise MemoryError
    return 0


cdef void _free_keys(hitters_keys *keys) noexcept:
    free(keys.tag)
    free(keys.key)


cdef list _key_rows(hitters_keys *keys):
    cdef hitters_key *k
    rows = []
    for at in range(HITTERS_SETS * HITTERS_WAYS):
        k = &keys.key[at]
        if keys.tag[at]:
            rows.append((<bytes>k.name[:min(k.size, <uint64_t>HITTERS_KEY_BYTES_KEPT)], k.size, k.db, k.count, k.error, k.variance))
    return rows


cdef int64_t _max_untracked(hitters_keys *keys):
    """Return the largest count that a key which is not in the table of counted keys can have."""
    cdef int64_t most = 0, least
    cdef size_t way
    for at in range(HITTERS_SETS):
        least = -1
        for way in range(at * HITTERS_WAYS, (at + 1) * HITTERS_WAYS):
            if not keys.tag[way]:
                least = 0
            elif least < 0 or keys.key[way].count < least:
                least = keys.key[way].count
        most = max(most, least)
    return most


cdef class KeyCounters:
    """Count commands by first key, and find the keys written most; documented in _pyheavy_hitters.py."""

    cdef hitters_counters counters
    cdef _Buffers held

    def __cinit__(self, bytes first_key_rules not None, uint8_t delimiter, unsigned depth, int64_t exact_bytes):
        if not depth or len(first_key_rules) % 4 or not first_key_rules:
            raise ValueError("four bytes a rule, and a depth")
        self.counters.sample.exact_bytes = exact_bytes
        self.held = _Buffers()
        self.counters.rules = <const hitters_key_rule *>self.held.get(first_key_rules, 4, False)
        self.counters.ids = len(first_key_rules) // 4
        self.counters.delimiter, self.counters.depth = delimiter, depth
        _alloc_names(&self.counters.prefixes)
        _alloc_names(&self.counters.unknown)
        _alloc_keys(&self.counters.bytes)
        _alloc_keys(&self.counters.writes)

    def __dealloc__(self):
        free(self.counters.prefixes.slot)
        free(self.counters.unknown.slot)
        _free_keys(&self.counters.bytes)
        _free_keys(&self.counters.writes)

    def count_batch(self, batch, db, indexes):
        """Count the commands of a batch by first key; none of them may be too large for memory."""
        cdef _Records b = _Records()
        cdef size_t count, records = batch.count
        cdef Py_ssize_t origin = batch.origin
        cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (records + 1), False)
        cdef const uint32_t *argc = <const uint32_t *>b.get(batch.argc, 4 * records, False)
        cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * records, False)
        cdef const int64_t *db_p = <const int64_t *>b.get(db, 8 * records, False)
        cdef const uint8_t *data = <const uint8_t *>b.get(batch.buffer, origin + edges[records] + SCAN_SLACK, False)
        cdef const uint32_t *indexes_p = b.selected_indexes(indexes, records, &count)
        with nogil:
            hitters_count_batch(&self.counters, data + origin, edges, argc, ids, db_p, indexes_p, count)

    def count_key(self, bytes head not None, size_t size, int64_t db, int64_t weight):
        """Count one write to a key name of `size` bytes, beginning with `head`, by a command of `weight` bytes."""
        cdef uint8_t padded[HITTERS_KEY_BYTES_COMPARED + SCAN_SLACK]
        if <size_t>len(head) < min(size, <size_t>HITTERS_KEY_BYTES_COMPARED):
            raise ValueError("the first bytes of a key")
        hitters_count_key(&self.counters, &self.counters.sample, _padded(padded, HITTERS_KEY_BYTES_COMPARED, head), size, db, weight)

    def count_unknown(self, bytes name not None, int64_t weight):
        """Count a command of `weight` bytes with a name that no known server has, by this name."""
        hitters_count_unknown(&self.counters, name, len(name), weight)

    @property
    def is_exact(self):
        return self.counters.sample.exact_bytes > 0

    @property
    def prefixes(self):
        return _name_rows(&self.counters.prefixes)

    @property
    def other_prefixes(self):
        return _overflow_row(&self.counters.prefixes)

    @property
    def unknown_names(self):
        return _name_rows(&self.counters.unknown)

    @property
    def other_unknown_names(self):
        return _overflow_row(&self.counters.unknown)

    @property
    def by_bytes(self):
        return _key_rows(&self.counters.bytes)

    @property
    def by_writes(self):
        return _key_rows(&self.counters.writes)

    @property
    def max_other_bytes(self):
        return _max_untracked(&self.counters.bytes)

    @property
    def max_other_writes(self):
        return _max_untracked(&self.counters.writes)
