"""Name the commands that a target server may lack, as far as exporting an RDB as commands depends on them.

This module only defines the type; server/versions.py knows which server
version has which capabilities and passes them down.
"""

from typing import NamedTuple


class Capabilities(NamedTuple):
    """Which commands introduced after Redis 2.6 the target server of an export supports.

    `has_streams`: the stream type (5.0).  `has_createconsumer`: XGROUP CREATECONSUMER (6.2).
    `has_stream_counters`: ENTRIESADDED, MAXDELETEDID and ENTRIESREAD (7.0).
    `has_functions`: FUNCTION LOAD (7.0).  `has_field_expiry`: HPEXPIREAT (7.4).

    Sources: the histories of the commands (COMMAND DOCS of Redis 8.2 and Valkey
    9.1) and the commands that real servers accepted.
    """

    has_streams: bool = False
    has_createconsumer: bool = False
    has_stream_counters: bool = False
    has_functions: bool = False
    has_field_expiry: bool = False


ALL_CAPABILITIES = Capabilities(True, True, True, True, True)
