"""Constants that stay in the scratchpad from call to call: networks with state are called again and again.

What stays need not stream. It is chosen by kind (all layers of one shape, or none), so that what still streams comes
as evenly as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..ir.domain import Box
from ..ir.graph import Node
from ..ir.plan import EntryPlan, Tiled, aligned
from .parts import Part, parts

if TYPE_CHECKING:
    from .scratchpad import Budget

# the constants by identity (those that a node is taken apart with by their bytes), how each is packed, what of it
Bundle = tuple[tuple[int | bytes, str, Box], ...]
TRIFLE = 1 << 10  # bytes of constants whose transfer costs more to start than to do: they stay first
WINDOW = 40 << 10  # bytes of the scratchpad that are left to constants on their way


def bundle_of(node: Node, way: Tiled) -> Bundle | None:
    """The constants that travel with a node as a whole; None where it is cut."""
    if way.tile:
        return None
    return tuple(
        (_identity(part, name, node), packing.name if packing else "", box)
        for part in parts(node, way)[0]
        for name, _, box, packing in part.travelling
    )


def _identity(part: Part, operand: str, node: Node) -> int | bytes:
    value = part.whole(operand, node)
    own = part.name(operand) is None and value.data is not None
    return value.data.tobytes() if own and value.data is not None else id(value)


def residents(plans: Sequence[EntryPlan], budget: Budget) -> Mapping[Bundle, int]:
    """What stays, with its bytes: kinds of the last entry's constants, the largest that fit first."""
    kinds = _kinds(plans[-1])
    everything = sum(sum(kind.values()) for kind in kinds.values())
    left = min(_room(plan, budget) for plan in plans)
    if everything > left:
        left = min(_room(plan, budget) - _passing(_kinds(plan)) for plan in plans)
    stays: dict[Bundle, int] = {}
    for kind in sorted(kinds.values(), key=lambda k: (max(k.values()) > TRIFLE, -sum(k.values()))):
        if sum(kind.values()) <= left:
            stays |= kind
            left -= sum(kind.values())
    return stays


def further(plan: EntryPlan, stays: Mapping[Bundle, int], left: int) -> Mapping[Bundle, int]:
    """What fits beside in the bytes that a plan with these leaves: a kind that stays gives back where it passed."""
    found: dict[Bundle, int] = {}
    for kind in sorted(_kinds(plan).values(), key=lambda k: -sum(k.values())):
        more = sum(kind.values()) - max(kind.values())
        if more <= left and len(kind) > 1 and stays.keys().isdisjoint(kind):
            found |= kind
            left -= more
    return found


Kinds = Mapping[object, Mapping[Bundle, int]]  # by operator and shapes: what travels with these nodes, and its bytes


def _kinds(plan: EntryPlan) -> Kinds:
    kinds: dict[object, dict[Bundle, int]] = {}
    for node in plan.graph.nodes:
        choice = plan.choices.get(node.name)
        if choice is None or choice.tiled is None or choice.tiled.constants is None:
            continue
        bundle = bundle_of(node, choice.tiled)
        if bundle is not None:
            shapes = tuple(value.type.shape for value in node.operands.values())
            kinds.setdefault((type(node.op), shapes), {})[bundle] = aligned(choice.tiled.constants.size)
    return kinds


def _passing(kinds: Kinds) -> int:
    """Bytes that are left to constants on their way.

    A window, or less where an engine reads the large ones in place: those of two layers, or what travels once, as a
    table in front of the layers or a product behind them.
    """
    largest = [max(kind.values()) for kind in kinds.values()]
    window = max(WINDOW, 2 * max(largest, default=0))
    layers = sum(2 * size for size, kind in zip(largest, kinds.values(), strict=True) if len(kind) > 1)
    return min(window, max([layers, *largest]))


def _room(plan: EntryPlan, budget: Budget) -> int:
    """Bytes that are free at every step when no constants are there."""
    used = [0] * len(plan.graph.nodes)
    for block in plan.blocks:
        if block.memory == budget.pad.name and not block.name.endswith(".constants"):
            for step in range(block.first, block.last + 1):
                used[step] += aligned(block.bytes)
    return budget.capacity - max(used, default=0)
