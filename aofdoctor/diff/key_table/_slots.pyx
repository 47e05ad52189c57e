# cython: language_level=3, boundscheck=False, wraparound=False
"""Python bindings of slots.h, with the functions of _pyslots.py, which documents them."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "slots.h" nogil:
    enum:
        SLOTS_SLOT_WORDS, SLOTS_ROW_WORDS, SLOTS_STATE_FIELDS, SLOTS_STATE_SLOTS, SLOTS_STATE_USED_MAX, SLOTS_STATE_PENDING, SLOTS_STATE_PENDING_MAX, SLOTS_FIELD_SPACE
        SLOTS_FIELD_CONTENT, SLOTS_FIELD_EXPIRE, SLOTS_FIELD_POSITION
    ctypedef struct c_table "slots_table":
        uint64_t *slots
        uint64_t *state
        uint64_t *events
        uint64_t key[2]
    ctypedef struct digest_state:
        uint64_t v[4]
    void digest_begin(digest_state *s, const uint64_t *key)
    void digest_word(digest_state *s, uint64_t word)
    void digest_bytes(digest_state *s, const uint8_t *p, size_t size, int lower)
    uint64_t digest_end(digest_state *s)
    uint64_t *slots_find(uint64_t *slots, uint64_t n, uint64_t key, uint64_t space)
    uint64_t slots_even(uint64_t word)
    uint64_t slots_mix_digest(uint64_t digest, uint64_t content)
    int slots_has_room(const c_table *c, uint64_t count)
    void slots_put_event(c_table *c, uint64_t key, uint64_t digest, uint64_t expire, uint64_t position, uint64_t space, int op)
    void slots_order_pending(const uint64_t *events, size_t count, uint32_t *starts, uint32_t *indexes)
    size_t slots_apply_pending(c_table *c, const uint32_t *indexes, size_t start, size_t stop)
    uint64_t slots_space_of_db(c_table *c, uint64_t db)
    void slots_flush_database(c_table *c, uint64_t db)
    void slots_swap_databases(c_table *c, uint64_t one, uint64_t two)
    size_t slots_copy_live(c_table *c, size_t start, size_t stop, c_table *into)
    size_t slots_compare(c_table *a, c_table *b, size_t *start, size_t stop, int only_missing, uint64_t *rows, size_t row_max,
                         uint64_t *equal_count)
    size_t slots_apply_batch(c_table *c, const uint8_t *data, uint64_t base_position, const int64_t *edges,
                      const uint32_t *argc, const uint16_t *ids, const int64_t *db, const uint8_t *selected,
                      size_t start, size_t count, const uint8_t *effects, size_t known, int base)


include "../../buffers.pxi"


cdef int _open(_Buffers b, c_table *c, bytes key, slots, state, events) except -1:
    """Open a table; its buffers must have the sizes that its state declares."""
    cdef const uint8_t *p = key
    if len(key) != 16:
        raise ValueError("a key has 16 bytes")
    memcpy(c.key, p, 16)
    c.state = <uint64_t *>b.get(state, 8 * SLOTS_STATE_FIELDS, True)
    if not c.state[SLOTS_STATE_USED_MAX] < c.state[SLOTS_STATE_SLOTS] <= 0xffffffff or c.state[SLOTS_STATE_PENDING] > c.state[SLOTS_STATE_PENDING_MAX]:
        raise ValueError("no such table")
    c.slots = <uint64_t *>b.get(slots, 8 * SLOTS_SLOT_WORDS * <Py_ssize_t>c.state[SLOTS_STATE_SLOTS], True)
    c.events = <uint64_t *>b.get(events, 8 * SLOTS_SLOT_WORDS * <Py_ssize_t>c.state[SLOTS_STATE_PENDING_MAX], True)
    return 0


def apply_batch(bytes key not None, slots, state, events, batch, db, uint64_t base_position, selected,
                size_t start, effects, bint base):
    """Apply the records from `start` on; return the index of the first one that was not applied."""
    cdef _Buffers b = _Buffers()
    cdef c_table c
    _open(b, &c, key, slots, state, events)
    cdef size_t count = batch.count, known, done
    cdef Py_ssize_t origin = batch.origin
    cdef const uint8_t *data = <const uint8_t *>b.get(batch.buffer, origin, False)
    cdef Py_ssize_t size = b.views[b.count - 1].len - origin
    cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (count + 1), False)
    if batch.oversized or not 0 <= edges[0] <= edges[count] <= size - 64:
        raise ValueError("the buffer is too short")
    cdef const uint32_t *argc = <const uint32_t *>b.get(batch.argc, 4 * count, False)
    cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * count, False)
    cdef const int64_t *db_p = <const int64_t *>b.get(db, 8 * count, False)
    cdef const uint8_t *selected_p = NULL
    if selected is not None:
        selected_p = <const uint8_t *>b.get(selected, count, False)
    cdef const uint8_t *effects_p = <const uint8_t *>b.get(effects, 1, False)
    known = b.views[b.count - 1].len
    with nogil:
        done = slots_apply_batch(&c, data + origin, base_position, edges, argc, ids, db_p, selected_p, start, count, effects_p, known, base)
    return done


def has_room(bytes key not None, slots, state, events, uint64_t count):
    """Return whether `count` more events fit."""
    cdef _Buffers b = _Buffers()
    cdef c_table c
    _open(b, &c, key, slots, state, events)
    return bool(slots_has_room(&c, count))


def put_event(bytes key not None, slots, state, events, uint64_t name, uint64_t digest, uint64_t expire, uint64_t position,
        uint64_t db, int op):
    """Add one event of a key; return False if it does not fit."""
    cdef _Buffers b = _Buffers()
    cdef c_table c
    _open(b, &c, key, slots, state, events)
    if not slots_has_room(&c, 1):
        return False
    slots_put_event(&c, name, digest, expire, position, slots_space_of_db(&c, db), op)
    return True


def get_key(bytes key not None, slots, state, events, uint64_t name, uint64_t db):
    """Return (the digest of a key's content, its expiry), or zeros if it does not exist."""
    cdef _Buffers b = _Buffers()
    cdef c_table c
    _open(b, &c, key, slots, state, events)
    if not slots_has_room(&c, 0):
        raise ValueError("no room")
    cdef const uint64_t *s = slots_find(c.slots, c.state[SLOTS_STATE_SLOTS], name, slots_space_of_db(&c, db))
    if not s[SLOTS_FIELD_SPACE]:
        return 0, 0
    return s[SLOTS_FIELD_CONTENT], s[SLOTS_FIELD_EXPIRE]


def flush_database(bytes key not None, slots, state, events, uint64_t db):
    """Remove all keys of a database; two free slots are needed."""
    cdef _Buffers b = _Buffers()
    cdef c_table c
    _open(b, &c, key, slots, state, events)
    if not slots_has_room(&c, 0):
        raise ValueError("no room")
    slots_flush_database(&c, db)


def swap_databases(bytes key not None, slots, state, events, uint64_t one, uint64_t two):
    """Exchange two databases; four free slots are needed."""
    cdef _Buffers b = _Buffers()
    cdef c_table c
    _open(b, &c, key, slots, state, events)
    if not slots_has_room(&c, 2):
        raise ValueError("no room")
    slots_swap_databases(&c, one, two)


def order_pending(events, state, starts, indexes):
    """Fill `indexes` with the indexes of the pending events, in the order of their slots."""
    cdef _Buffers b = _Buffers()
    cdef const uint64_t *state_p = <const uint64_t *>b.get(state, 8 * SLOTS_STATE_FIELDS, False)
    cdef size_t count = state_p[SLOTS_STATE_PENDING]
    cdef const uint64_t *events_p = <const uint64_t *>b.get(events, 8 * SLOTS_SLOT_WORDS * count, False)
    cdef uint32_t *starts_p = <uint32_t *>b.get(starts, 4 * ((1 << 16) + 1), True)
    cdef uint32_t *indexes_p = <uint32_t *>b.get(indexes, 4 * count, True)
    with nogil:
        slots_order_pending(events_p, count, starts_p, indexes_p)


def apply_pending(bytes key not None, slots, state, events, indexes, size_t start, size_t stop):
    """Apply the events indexes[start:stop], or as many as slots are free; return where it stopped."""
    cdef _Buffers b = _Buffers()
    cdef c_table c
    _open(b, &c, key, slots, state, events)
    if stop > c.state[SLOTS_STATE_PENDING]:
        raise ValueError("no such event")
    cdef const uint32_t *indexes_p = <const uint32_t *>b.get(indexes, 4 * stop, False)
    cdef size_t done
    with nogil:
        done = slots_apply_pending(&c, indexes_p, start, stop)
    return done


def copy_live_slots(bytes key not None, slots, state, events, size_t start, size_t stop, into, into_state):
    """Count the slots start to stop - 1 that still exist, and copy them to the table `into` unless it is None."""
    cdef _Buffers b = _Buffers()
    cdef c_table c, other
    _open(b, &c, key, slots, state, events)
    if stop > c.state[SLOTS_STATE_SLOTS]:
        raise ValueError("no such slot")
    cdef size_t live
    if into is None:
        with nogil:
            live = slots_copy_live(&c, start, stop, NULL)
        return live
    _open(b, &other, key, into, into_state, events)
    with nogil:
        live = slots_copy_live(&c, start, stop, &other)
    return live


def compare(bytes key not None, one, one_state, two, two_state, size_t start, size_t stop, bint only_missing, rows,
            equal_count):
    """Compare the slots start to stop - 1 of two tables; return (the number of rows, where to go on)."""
    cdef _Buffers b = _Buffers()
    cdef c_table c, other
    _open(b, &c, key, one, one_state, rows)
    _open(b, &other, key, two, two_state, rows)
    if stop > c.state[SLOTS_STATE_SLOTS]:
        raise ValueError("no such slot")
    cdef uint64_t *rows_p = <uint64_t *>b.get(rows, 8 * SLOTS_ROW_WORDS, True)
    cdef size_t row_max = b.views[b.count - 1].len // (8 * SLOTS_ROW_WORDS), count
    cdef uint64_t *equal_p = <uint64_t *>b.get(equal_count, 8, True)
    with nogil:
        count = slots_compare(&c, &other, &start, stop, only_missing, rows_p, row_max, equal_p)
    return count, start


def fold_elements(bytes key not None, int tag, list items, Py_ssize_t width, uint64_t content, bint ordered):
    """Add elements of `width` strings each to the digest `content`."""
    cdef uint64_t words[2]
    cdef const uint8_t *p = key
    cdef digest_state s
    cdef uint64_t digest
    cdef bytes item
    cdef Py_ssize_t at, n
    if len(key) != 16 or width < 1 or len(items) % width:
        raise ValueError("no such key, or no such elements")
    memcpy(words, p, 16)
    for at in range(0, len(items), width):
        digest_begin(&s, words)
        digest_word(&s, tag)
        for n in range(width):
            item = items[at + n]
            if item is None:
                raise TypeError("no string")
            p = item
            digest_word(&s, len(item))
            digest_bytes(&s, p, len(item), 0)
        digest = digest_end(&s)
        content = slots_mix_digest(digest, content) if ordered else slots_even(content + slots_even(digest))
    return content if content else 2
