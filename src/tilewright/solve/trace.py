"""Decisions as text, for TILEWRIGHT_DEBUG."""

from __future__ import annotations

from ..ir.graph import Node
from ..ir.plan import EntryPlan, Plan
from ..targets.base import Target


def plan_text(plan: Plan) -> str:
    """Every block of every entry: address, bytes, first and last step."""
    capacity = ", ".join(f"{used:,} bytes of {memory}" for memory, used in plan.capacity.items())
    lines = [f"plan for {plan.target}: {capacity}; no placement needs fewer than {plan.lower_bound:,}"]
    for entry in plan.entries:
        lines.append(f"  {entry.graph.name}")
        for b in sorted(entry.blocks, key=lambda b: (b.first, b.offset)):
            lines.append(f"    {b.offset:>8,} {b.bytes:>8,}  steps {b.first} to {b.last}  {b.name}")
    return "\n".join(lines)


def kernels_text(entry: EntryPlan) -> str:
    """The kernel of every node of an entry."""
    lines = [f"kernels of {entry.graph.name}"]
    for node in entry.graph.nodes:
        choice = entry.choices.get(node.name)
        lines.append(f"  {node.name}: {choice.kernel.symbol if choice else 'a view'}")
    return "\n".join(lines)


def menu_text(node: Node, target: Target) -> str:
    """All kernels for a node's operator, and why those that do not fit do not."""
    rows = [kernel for kernel in target.kernels if kernel.op is type(node.op)]
    return "\n".join([f"menu of {node!r}", *(f"  {k.symbol}: {k.misfit(node) or 'fits'}" for k in rows)])
