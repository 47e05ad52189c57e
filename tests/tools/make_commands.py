"""Write aofdoctor/server/commands.json from the COMMAND replies of real servers.

    python -m tests.tools.make_commands DUMPS [LINE=SERVER_BINARY ...] > commands.json

DUMPS is a folder with files NAME-VERSION.json, each {"commands": [...]} in the
format of COMMAND, and since.json, {name: {"since": VERSION}}. A server binary is
asked for COMMAND directly. A column without either keeps what the present
commands.json holds, or is derived from a neighbour (DERIVED). Lists are in the
order of "servers". `arity` is 0 where a server does not know the name. Flags
and keys are one list if all servers agree, else the distinct lists and the
index that each server uses. `access` is the newest server's use of the keys of
each specification: OW (overwritten), RO (only read) or RW; it is omitted if all
are RW.
"""

import json
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from aofdoctor.server.versions import command_sets
from tests.support.servers import query_commands
from tests.tools.announced_commands import ANNOUNCED, VALKEY_SINCE, VECTOR_SETS_8_0

LINES = command_sets()

Dump = dict[str, dict[str, Any]]

# Columns without a dump: those of a newer line without the commands that are newer than the column, or those of the
# newest line with the commands that are announced.
DERIVED = {
    "redis-8.4": "redis-8.6",
    "redis-8.8": "redis-8.10",
    "redis-8.12": "redis-8.10",
    "valkey-8.1": "valkey-9.1",
    "valkey-9.0": "valkey-9.1",
    "valkey-9.2": "valkey-9.1",
}


def dump_of(path: Path) -> Dump:
    commands = json.loads(path.read_text())["commands"]
    return {c["name"].lower(): c for c in (commands.values() if isinstance(commands, dict) else commands)}


FLAGS_TO_KEEP = {"write", "readonly", "admin", "noscript"}  # The flags of a command.


def line_of(path: Path) -> str:
    match = re.match(r"(redis|valkey)-(\d+\.\d+)", path.stem)
    return f"{match[1]}-{match[2]}" if match else path.stem


def key_specs(command: dict[str, Any]) -> list[list[Any]]:
    """Return [[begin, find], ...]: begin is an index or [keyword, from]; find is [last, step, limit] or a numkeys list."""
    if "keys" in command:
        keys: list[list[Any]] = command["keys"]
        return keys
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
    if command and "access" in command:
        known: list[str] = command["access"]
        return known
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


def dump_of_column(data: dict[str, Any], line: str) -> Dump:
    """Return a column of commands.json in the form of a dump; keys and access are already as in the table."""
    at, commands = data["servers"].index(line), {}
    for name, entry in data["commands"].items():
        if entry["arity"][at]:
            command = {"name": name, "arity": entry["arity"][at], "subcommands": [], "access": entry.get("access", [])}
            for field in ("flags", "keys"):
                value = entry.get(field, [])
                command[field] = value if isinstance(value, list) else value["of"][value["at"][at]]
            commands[name] = command
    for name in [name for name in commands if "|" in name]:
        commands[name.partition("|")[0]]["subcommands"].append(commands.pop(name))
    return commands


def older_dump(dump: Dump, line: str, since: dict[str, str]) -> Dump:
    """Return a dump without the commands and subcommands that appeared after a line."""
    number = version_number(line.partition("-")[2])

    def is_old(name: str) -> bool:
        return version_number(since.get(name, "0.0")) <= number

    return {
        name: {**command, "subcommands": [sub for sub in command["subcommands"] if is_old(sub["name"].lower())]}
        for name, command in dump.items()
        if is_old(name)
    }


def version_number(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


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
    data = json.loads(resources.files("aofdoctor.server").joinpath("commands.json").read_text())
    since = {name: entry["since"] for name, entry in json.loads((Path(folder) / "since.json").read_text()).items()}
    known = {line: dump_of_column(data, line) for line in data["servers"]}
    known |= {line_of(path): dump_of(path) for path in sorted(Path(folder).glob("*-*.json"))}
    for pair in servers:
        line, _, binary = pair.partition("=")
        known[line] = {c["name"].lower(): c for c in query_commands(binary)}
    for line, neighbour in DERIVED.items():
        appeared = VALKEY_SINCE if line.startswith("valkey") else since
        known[line] = older_dump(known[neighbour], line, appeared) | ANNOUNCED.get(line, {})
    # The build that the column of 8.0 was taken from lacked vector sets.
    known["redis-8.0"] |= {name: command for name, command in known["redis-8.2"].items() if name in VECTOR_SETS_8_0}
    rows = table([known[line] for line in LINES])
    body = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in rows.items())
    print(f'{{"servers": {json.dumps(LINES)},\n"commands": {{\n{body}\n}}}}')


if __name__ == "__main__":
    main()
