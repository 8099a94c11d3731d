"""What a compiled folder says about itself: plan.json, and the sizes of its binary where it was built."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError

SIZES = "sizes.json"  # in DIR/build
MAX_BYTES = 1 << 28
_ENTRY = {"name": str, "nodes": list, "blocks": list, "inputs": list, "outputs": list, "states": list, "syms": list}
_PLAN = {
    "prefix": str, "name": str, "target": str, "macs": int, "memory": dict, "capacity": dict, "entries": list,
    "constants": list, "packings": dict, "levels": dict,
}  # fmt: skip
_NODE = {"name": str, "op": str, "macs": int, "bytes": int, "others": list, "inputs": list, "outputs": list}
_BLOCK = {"name": str, "memory": str, "offset": int, "bytes": int, "first": int, "last": int}


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The plan, and the sizes or None. UserError where the folder is none of ours or the plan is damaged."""
    path = folder / "plan.json"
    if not path.is_file():
        raise UserError(f"{folder} is not a compiled network", hint="make one with `tilewright compile MODEL -o DIR`")
    plan = _json(path)
    damage = _missing(plan, _PLAN, "the plan")
    for entry in plan["entries"] if not damage else ():
        damage = damage or _missing(entry, _ENTRY, "an entry")
        for kind, records in ((_NODE, "nodes"), (_BLOCK, "blocks")):
            damage = damage or next(
                filter(None, (_missing(r, kind, f"one of the {records}") for r in entry[records])), ""
            )
        damage = damage or _out_of_range(entry)
    if not damage and not plan["prefix"].isidentifier():
        damage = f"{plan['prefix']!r} is no C name"
    if damage or not plan["entries"]:
        raise UserError(f"{path} is damaged: {damage or 'it has no entry'}", hint="compile the model again")
    sizes = folder / "build" / SIZES
    return plan, _json(sizes) if sizes.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is too large", rule=f"at most {MAX_BYTES:,} bytes")
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:100]}", hint="compile the model again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it is no JSON object", hint="compile the model again")
    return content


def _missing(record: object, kinds: Mapping[str, type], what: str) -> str:
    """What is wrong with a record, "" where nothing is."""
    if not isinstance(record, dict):
        return f"{what} is no JSON object"
    wrong = [key for key, kind in kinds.items() if not isinstance(record.get(key), kind)]
    return f"{what} has no usable {', '.join(wrong)}" if wrong else ""


def _out_of_range(entry: dict[str, Any]) -> str:
    steps = len(entry["nodes"])
    bad = [b["name"] for b in entry["blocks"] if not 0 <= b["first"] <= b["last"] < steps or b["bytes"] < 0]
    return f"{bad[0]} lives outside the {steps} steps of {entry['name']}" if bad else ""
