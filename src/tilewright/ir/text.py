"""Graphs as text, for people and for `--dump`."""

from __future__ import annotations

from .graph import Graph
from .types import Kind


def text(graph: Graph) -> str:
    """One line per node: results = Operator(operands) {attributes}  # origin."""
    syms = ", ".join(f"{s.name} <= {s.max}" for s in graph.syms)
    lines = [f"graph {graph.name}({syms})"]
    lines += [f"  {v.kind.value} {v!r}" for v in (*graph.inputs, *graph.states)]
    for node in graph.nodes:
        operands = ", ".join("-" if v is None else _use(v.name, v.kind) for v in node.inputs)
        results = ", ".join(map(repr, node.outputs))
        shown = ", ".join(f"{k}={v!r}" for k, v in node.op.attributes.items())
        note = f"  # {node.origin}" if node.origin and node.origin != node.name else ""
        lines.append(f"  {results} = {type(node.op).__name__}({operands}){f' {{{shown}}}' if shown else ''}{note}")
    lines.append(f"  return {', '.join(f'%{v.name}' for v in graph.outputs)}")
    return "\n".join(lines) + "\n"


def _use(name: str, kind: Kind) -> str:
    return f"@{name}" if kind is Kind.CONST else f"%{name}"
