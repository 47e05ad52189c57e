"""Format the totals of a planned edit: keys in RDBs, commands and bytes, before and after, with percentages.

100% is everything that was found: the files of the AOF, and files that its manifest does not list.
"""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.set_totals import UnusedFile

_LISTED_MAX = 20


def totals_before(plan: Plan) -> Iterator[str]:
    """Yield the keys, commands and bytes of an AOF before an edit, with those of files not listed in the manifest."""
    keys, commands, size = _found(plan)
    if plan.keys.by_part or keys:
        yield "an unknown number of keys in RDBs" if keys is None else f"{text.format_count(keys, 'key')} in RDBs"
    if plan.hides_commands and not commands:
        yield "an unknown number of commands"
    else:
        yield f"{'at least ' if plan.hides_commands else ''}{text.format_count(commands, 'command')}"
    yield text.format_size(size)


def totals_after(plan: Plan) -> Iterator[str]:
    """Yield the keys, commands and bytes that remain after an edit, each with its percentage of the total before.

    Where keys of a base are lost, or may be, and where damaged bytes are dropped, no share of 100% is shown.  The share
    of the commands is only the most that it can be where damage may hide commands.
    """
    keys, commands, size = _found(plan)
    loses_keys = bool(plan.keys.lossy_parts)
    hides_whole = loses_keys or plan.drops_damage
    if plan.keys.by_part or keys:
        kept = plan.keys.after or 0
        yield f"{text.format_count(kept, 'key')} in RDBs{_share(kept, keys, loses_keys)}"
    share = _share(plan.commands_after, commands, hides_whole)
    if plan.hides_commands:
        share = share.replace("(", "(at most ")
    yield f"{text.format_count(plan.commands_after, 'command')}{share}"
    size_after = plan.size - plan.dropped_bytes
    yield f"{text.format_size(size_after)}{_share(size_after, size, hides_whole)}"


def unused_file_lines(files: list[UnusedFile]) -> Iterator[str]:
    """Yield a line for each file in the AOF's directory that the output of an edit does not use, with its contents."""
    for file in files[:_LISTED_MAX]:
        keys = "keys not counted" if file.keys is None else text.format_count(file.keys, "key")
        reason = "history: a later base replaced it" if file.is_history else "not listed in the manifest"
        yield (
            f"  - {text.display_path(file.name)}  {keys}, {text.format_count(file.commands, 'command')}, "
            f"{text.format_size(file.size)}  not used ({reason})"
        )
    if len(files) > _LISTED_MAX:
        yield f"  - and {text.format_count(len(files) - _LISTED_MAX, 'more file')} not used"


def _found(plan: Plan) -> tuple[int | None, int, int]:
    """Return (keys in RDBs, commands, bytes) of an AOF before an edit, with the files not listed in the manifest.

    History files are not counted, because the base has their data.  Keys are None if their number is unknown.
    """
    keys, commands, size = plan.keys.before, plan.commands_before, plan.size_before
    for file in plan.unused_files:
        if not file.is_history:
            keys = None if keys is None or file.keys is None else keys + file.keys
            commands, size = commands + file.commands, size + file.size
    return keys, commands, size


def _share(part: int, total: int | None, hides_whole: bool) -> str:
    """A share in parentheses; empty if the total is unknown or 0, or if 100% would hide a loss."""
    if not total or (hides_whole and part >= total):
        return ""
    return f" ({_percent(part, total)})"


def _percent(part: int, total: int) -> str:
    """Format `part` of `total` as a percentage, never rounded up to 100%; restored data can make it more than 100%."""
    if part >= total:
        return f"{part * 100 // total}%"
    tenths = min(999, part * 1000 // total)
    return f"{tenths / 10:.1f}%"
