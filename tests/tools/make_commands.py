"""Write aofdoctor/server/commands.json from the COMMAND replies of real servers.

    python -m tests.tools.make_commands DUMPS [LINE=SERVER_BINARY ...] > aofdoctor/server/commands.json

DUMPS is a folder with files NAME-VERSION.json, each {"commands": [...]} in the
format of COMMAND. A server binary is asked for COMMAND directly. Lists are in
the order of "servers". `arity` is 0 where a server does not know the name. Flags
and keys are one list if all servers agree, else the distinct lists and the
index that each server uses. `access` is the newest server's use of the keys of
each specification: OW (overwritten), RO (only read) or RW; it is omitted if all
are RW.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from aofdoctor.server.versions import command_sets
from tests.support.servers import query_commands

LINES = command_sets()

Dump = dict[str, dict[str, Any]]


def dump_of(path: Path) -> Dump:
    commands = json.loads(path.read_text())["commands"]
    return {c["name"].lower(): c for c in (commands.values() if isinstance(commands, dict) else commands)}


FLAGS_TO_KEEP = {"write", "readonly", "admin", "noscript"}  # The flags of a command.


def line_of(path: Path) -> str:
    match = re.match(r"(redis|valkey)-(\d+\.\d+)", path.stem)
    return f"{match[1]}-{match[2]}" if match else path.stem


def key_specs(command: dict[str, Any]) -> list[list[Any]]:
    """Return [[begin, find], ...]: begin is an index or [keyword, from]; find is [last, step, limit] or a numkeys list."""
    specs = []
    for spec in command.get("key_specs", ()):
        begin, find = spec["begin_search"], spec["find_keys"]
        if "unknown" in (begin["type"], find["type"]):
            continue
        b = begin["spec"]
        start = b["index"] if begin["type"] == "index" else [b["keyword"].lower(), b["startfrom"]]
        f = find["spec"]
        if find["type"] == "range":
            specs.append([start, f["lastkey"], f["keystep"], f["limit"]])
        else:
            specs.append([start, "num", f["keynumidx"], f["firstkey"], f["keystep"]])
    if not specs and command["first_key"]:
        last = command["last_key"]
        specs.append([command["first_key"], last - command["first_key"] if last > 0 else last, command["step"], 0])
    return specs


def access(command: dict[str, Any] | None) -> list[str]:
    """Return how a writing command uses the keys of each specification."""
    if not command or "write" not in command["flags"]:
        return []
    flags_by_spec = [set(spec["flags"]) & {"OW", "RO"} for spec in command.get("key_specs", ())]
    accesses = [min(flags, default="RW") for flags in flags_by_spec]
    return accesses if len(accesses) == len(key_specs(command)) and set(accesses) not in ({"RW"}, {"RO"}) else []


def row(name: str, dumps: list[Dump], parent: str = "") -> dict[str, Any]:
    entries = [find(dump, name, parent) for dump in dumps]
    entry: dict[str, Any] = {"arity": [c["arity"] if c else 0 for c in entries]}
    entry["flags"] = merge_lines([sorted(FLAGS_TO_KEEP & set(c["flags"])) if c else None for c in entries])
    entry["keys"] = merge_lines([key_specs(c) if c else None for c in entries])
    entry["access"] = next((access(c) for c in reversed(entries) if c and key_specs(c)), [])
    return {name: value for name, value in entry.items() if value}


def merge_lines(values: list[list[Any] | None]) -> list[Any] | dict[str, list[Any]]:
    """Return one value if all release lines that know the command agree, else the distinct values and their indexes."""
    distinct: list[list[Any]] = []
    for value in values:
        if value is not None and value not in distinct:
            distinct.append(value)
    if len(distinct) == 1:
        return distinct[0]
    return {"of": distinct, "at": [-1 if value is None else distinct.index(value) for value in values]}


def find(dump: Dump, name: str, parent: str) -> dict[str, Any] | None:
    if not parent:
        return dump.get(name)
    subs = dump.get(parent, {}).get("subcommands", ())
    return next((s for s in subs if s["name"].lower() == f"{parent}|{name}"), None)


def table(dumps: list[Dump]) -> dict[str, dict[str, Any]]:
    rows = {}
    for name in sorted(set().union(*dumps)):
        rows[name] = row(name, dumps)
        subs = {s["name"].lower().partition("|")[2] for d in dumps for s in d.get(name, {}).get("subcommands", ())}
        for sub in sorted(subs):
            rows[f"{name}|{sub}"] = row(sub, dumps, name)
    return rows


def main() -> None:
    folder, *servers = sys.argv[1:]
    known = {line_of(path): dump_of(path) for path in sorted(Path(folder).glob("*.json"))}
    for pair in servers:
        line, _, binary = pair.partition("=")
        known[line] = {c["name"].lower(): c for c in query_commands(binary)}
    rows = table([known[line] for line in LINES])
    body = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in rows.items())
    print(f'{{"servers": {json.dumps(LINES)},\n"commands": {{\n{body}\n}}}}')


if __name__ == "__main__":
    main()
