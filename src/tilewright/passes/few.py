"""Few rows of a run-time number: an entry of its own, for those that an engine takes at once.

Jobs run whatever the number is, and each is told only what differs from one before it: none can be left out at run
time. A caller that has few rows takes the entry that has no jobs for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..ir.graph import Graph
from ..ir.types import syms_of
from ..ir.verify import verify
from ..targets.base import Target


def with_few(graphs: Sequence[Graph], target: Target) -> Iterator[Graph]:
    """The graphs, behind each that an engine computes in several parts the same one for the rows of the first.

    They are `NAME` and `NAME_few`, with the same constants and states.
    """
    for graph in graphs:
        yield graph
        some = {sym.name: replace(sym, max=target.rows) for sym in graph.syms if sym.name in rows_of(graph, target)}
        if some:
            yield verify(graph.specialise(f"{graph.name}_few", some))


def rows_of(graph: Graph, target: Target) -> set[str]:
    """Run-time numbers of rows, of which engines have more than they take at once."""
    firsts = (v.type.shape[0] for node in graph.nodes if target.beside(node) for v in node.outputs if v.type.shape)
    return {s.name for dim in firsts for s in syms_of(dim) if 0 < target.rows < s.max}
