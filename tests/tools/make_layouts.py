"""Write the RDB layouts and the powers of ten as a C header for the RDB fuzz harness.

python -m tests.tools.make_layouts > layouts.h
"""

from aofdoctor.rdb.bulk.powers_of_ten import EXPONENT_MAX, EXPONENT_MIN, power_of_ten
from aofdoctor.rdb.walk.layouts import LAYOUTS


def header() -> str:
    """Return one rdb_layout for each dialect, and the powers of ten."""
    lines = []
    for name, layout in LAYOUTS.items():
        lines += [
            f"static const uint8_t {name}_code[] = {{{', '.join(map(str, layout.code))}}};",
            f"static const uint16_t {name}_entry[256] = {{{', '.join(map(str, layout.entry))}}};",
            f"static const walk_layout {name}_layout = {{{name}_code, {name}_entry}};",
        ]
    halves = (
        f"{{{number >> 64}u, {number & (1 << 64) - 1}u}}"
        for number in map(power_of_ten, range(EXPONENT_MIN, EXPONENT_MAX + 1))
    )
    lines.append(f"static const uint64_t powers_of_ten[][2] = {{{', '.join(halves)}}};")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(header(), end="")
