"""Forensics and emergency recovery for Redis and Valkey append-only files (AOFs).

Packages, from top to bottom.  A package imports only from those below it;
tests/test_layers.py enforces the order.

    cli     the application: options, one verb a file, views that render results as text or JSON;
            the only package that imports typer and rich
    advice  the steps printed for a person to follow: the servers that use the files, first aid, replacing a source
    edit    plans (strip, slice, rewind, repair), salvage, reconstruction, conversion, durable output, undo
    diff    the comparison of two AOFs, as streams of commands or by their keys
    stats   totals, histograms, the largest keys and records
    check   one examination of all parts, with its findings and the verdicts of servers
    log     the history as a user reads it: entries in context, selections, positions, times, flushes
    server  the knowledge of servers: command table, versions, loading rules, context tracking, a private server
    aof     files, manifest, records, the scanner, the reader, recovery after damage
    rdb     the bytes of an RDB: encoding, walk, values, recovery, export as commands, rewrite as another RDB
    errors finding damage free_names resp source span text    the vocabulary, which every package may use

A *part* is one file of an AOF: a base, an incremental file, or the single file of
a server before 7.0.  The central law is tiling: aof.reader.read_tiles cuts a
part into tiles, byte ranges that are adjacent, not empty, start at 0 and end at
the file's size.  Every byte belongs to exactly one tile: a batch of commands and
annotations, an RDB preamble, or damage.  Property tests check the consequences:
an empty plan copies a file byte for byte, every dropped byte has a reason in its
plan, the tiles do not depend on the read size, and an edit changes neither the
database nor the transaction of a command that it keeps.

Damaged data never raises an exception: damaged bytes are reported as Damage, and
suspicious but valid contents as Findings.  An exception (errors.py) means that
the program cannot continue.  Commands are processed as batches of columns, not
as one object each.  Hot loops are compiled: `name.py` is the module to import,
`_name.pyx` the compiled code behind it, `_pyname.py` the pure-Python fallback
that tests compare with the compiled code.

Extension points:

    a server version    a row of VERSIONS in server/versions.py and a column of server/commands.json
    a damage kind       a member and its meaning in damage.py, and its detection in aof/recovery or aof/diagnosis.py
    an RDB value type   its layout in rdb/walk/layouts.py and its decoder in rdb/values/decoders.py
    a finding           one function in check/findings/
    a read-only verb    one file in cli/verbs/ and its registration in cli/app.py
    an editing verb     a planner in edit/planners/, one file in cli/verbs/ and its registration in cli/app.py
"""

__version__ = "0.1.0"
