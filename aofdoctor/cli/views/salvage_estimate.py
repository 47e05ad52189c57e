"""Format, for the report of `check`, how much data `repair --salvage` would keep of a damaged AOF."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # At run time check imports it only for a damaged AOF.
    from aofdoctor.edit.salvage.estimate import SalvageEstimate


def salvage_lines(estimate: "SalvageEstimate | None") -> list[str]:
    """The line about what a salvage keeps; none without an estimate."""
    if estimate is not None and estimate.is_empty:
        return [
            "Readable: nothing, no command and no key.  Look for a replica, a backup or another file of this server."
        ]
    return [] if estimate is None else [f"Readable: {estimate}; repair --salvage keeps exactly these."]


def salvage_json(estimate: "SalvageEstimate | None") -> dict[str, Any]:
    """Return the field `salvage` of `check --json` (keys, commands and bytes that it would keep), or {}."""
    if estimate is None:
        return {}
    return {"salvage": {"keys": estimate.keys, "commands": estimate.commands, "bytes": estimate.size}}
