"""Write the RDB layouts as a C header, for the fuzz harness of the walker.

python -m tests.tools.make_layouts > layouts.h
"""

from aofdoctor.rdb.types import LAYOUTS


def header() -> str:
    """One rdb_layout a dialect."""
    lines = []
    for name, layout in LAYOUTS.items():
        lines += [
            f"static const uint8_t {name}_code[] = {{{', '.join(map(str, layout.code))}}};",
            f"static const uint16_t {name}_entry[256] = {{{', '.join(map(str, layout.entry))}}};",
            f"static const rdb_layout {name}_layout = {{{name}_code, {name}_entry}};",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(header(), end="")
