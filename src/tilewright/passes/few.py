"""Few rows of a run-time number: an entry of its own, for those that an engine takes at once.

Jobs run whatever the number is, and each is told only what differs from one before it: none can be left out at run
time. A caller that has few rows takes the entry that has no jobs for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..ir.graph import Graph
from ..ir.plan import Plan
from ..ir.program import Program
from ..ir.types import Kind, syms_of
from ..ir.verify import verify
from ..targets.base import Target

FEW = "_few"  # behind the name of the entry that has more


def with_few(graphs: Sequence[Graph], target: Target) -> Iterator[Graph]:
    """The graphs, behind each that an engine computes in several parts the same one for the rows of the first.

    They are NAME and NAME_few, with the same constants and states.
    """
    for graph in graphs:
        yield graph
        rows = rows_of(graph, target)
        some = {s.name: replace(s, max=target.rows, nominal=target.rows) for s in graph.syms if s.name in rows}
        if some:
            yield verify(graph.specialise(graph.name + FEW, some))


def rows_of(graph: Graph, target: Target) -> set[str]:
    """Run-time numbers of rows, of which engines have more than they take at once."""
    firsts = (v.type.shape[0] for node in graph.nodes if target.beside(node) for v in node.outputs if v.type.shape)
    return {s.name for dim in firsts for s in syms_of(dim) if target.parts(s)}


def affordable(programs: Sequence[Program], target: Target) -> bool:
    """Whether constants that only entries for few rows have, cut in another way, take at most half of what is left."""
    memory = next(m for m in target.memories if m.holds in ("const", "both"))
    each = {p.name: {b for b in p.buffers if b.kind is Kind.CONST} for p in programs}
    others = set().union(*(found for name, found in each.items() if not name.endswith(FEW)))
    own = sum(b.bytes for b in set().union(*each.values()) - others)
    return memory.bytes is None or own == 0 or own <= (memory.bytes - sum(b.bytes for b in others)) // 2


def without_few(plan: Plan) -> Plan:
    """The plan without the entries for few rows."""
    return replace(plan, entries=tuple(entry for entry in plan.entries if not entry.graph.name.endswith(FEW)))
