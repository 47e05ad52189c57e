"""Forensics and emergency recovery for Redis and Valkey append-only files.

The rooms, each of which imports only from those below it:

    cli        parse options, ask, render
    edit       findings and selections to plans, plans to new files
    analysis   questions: records in, values out
    server     what servers know: command table, loading rules, a real one in a sandbox
    aof        bytes to tiles to parts
    rdb        bytes of an RDB
    errors span damage source text    vocabulary
"""

__version__ = "0.1.0"
