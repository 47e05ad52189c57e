"""Find out which module a command such as JSON.SET belongs to, by its name.

A module's commands begin with its prefix and a dot, and no server has a command of its own with a dot in its name.  The
commands of a module are in no COMMAND reply of a server without it, so they are not in the command table.
"""

import re

_NAME = re.compile(rb"_?([A-Za-z][A-Za-z0-9_-]*)\.[A-Za-z0-9_.-]+")

# The modules that the packages of Redis 8 include, by the prefix of their commands.
BUNDLED_WITH_REDIS_8 = {
    "JSON": "JSON",
    "TS": "TimeSeries",
    "BF": "Bloom",
    "CF": "Bloom",
    "CMS": "Bloom",
    "TOPK": "Bloom",
    "TDIGEST": "Bloom",
    "FT": "Search",
}


def module_of(name: bytes) -> str:
    """Return the module prefix of a command name, such as JSON for JSON.SET.

    Empty if the name does not have this form.
    """
    match = _NAME.fullmatch(name)
    return match[1].decode().upper() if match else ""
