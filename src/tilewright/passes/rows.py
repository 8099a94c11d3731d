"""Where one row of a result is read, one row is computed: the choice of a row moves up through what works row by row.

A language model draws its next token from the logits of the last one. In its last layer nobody reads more of the
other tokens of a prompt than their keys and values: no queries, no mixtures, no feed-forward.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from ..ir.domain import Ranges
from ..ir.graph import Graph, Node
from ..ir.op import Op, RuleError, operand_names, result_names
from ..ir.types import Dim, Expr, TensorType, Value, maximum
from ..ops import Row
from ..targets.base import Target
from .rewrite import made, renamed


@dataclass(frozen=True)
class _Alone:
    """A node that computes one row: the operator that does, the row, and the operands of which it needs the same."""

    op: Op
    row: Dim
    by_row: frozenset[str]


def rows_read(graph: Graph, _target: Target) -> Graph:
    """Operators compute one row where all who read their results read that one."""
    read: dict[Value, Dim | None] = dict.fromkeys(graph.outputs)  # the row that all readers read; None: others, too
    alone: dict[Node, _Alone] = {}
    for node in reversed(graph.nodes):
        row = read.get(node.outputs[0])
        found = _alone(node, row) if row is not None else None
        by_row = found.by_row if found is not None else frozenset()
        if isinstance(node.op, Row):
            row, by_row = node.op.index, frozenset("x")
        elif found is not None:
            alone[node] = found
        for name, value in node.operands.items():
            if value not in node.outputs:
                here = row if name in by_row else None
                read[value] = here if read.get(value, here) == here else None
    return _computed(graph, alone) if alone else graph


def _alone(node: Node, row: Dim) -> _Alone | None:
    """How a node computes one row of its result from the same row of some operands and all of others."""
    (y, *more), shapes = node.outputs, {name: value.type.shape for name, value in node.operands.items()}
    if node.op.view or node.op.aliases or more or y.type.rank != 2 or maximum(y.type.shape[0]) == 1:
        return None
    domain, (result,) = node.op.domain(*node.types), result_names(node.op, 1)
    dim, extents = domain.access[result][0].plain, domain.extents(shapes)
    if dim not in domain.parallel or extents[dim] != y.type.shape[0]:
        return None
    by_row = (domain.cut_by(dim, shapes) or frozenset()) - {result}
    if not by_row or any(len(shapes[name]) != 2 for name in by_row):
        return None
    ranges: dict[str, tuple[Dim, Dim]] = {name: (0, maximum(extent)) for name, extent in extents.items()}
    ranges[dim] = row, (Expr.of(row) + 1).simplified()
    op = node.op.tiled(cast(Ranges, ranges))  # the place of a tile is added to positions, which run time may know
    named = zip(operand_names(node.op, len(node.inputs)), node.inputs, strict=True)
    try:
        (kind,) = op.infer(*(None if v is None else _first(v.type) if n in by_row else v.type for n, v in named))
    except RuleError:
        return None
    return _Alone(op, row, by_row) if kind == _first(y.type) else None


def _first(kind: TensorType) -> TensorType:
    return kind.with_shape((1, *kind.shape[1:]))


def _computed(graph: Graph, alone: dict[Node, _Alone]) -> Graph:
    """The graph in which some nodes compute one row each."""
    nodes: list[Node] = []
    single: dict[Value, Value] = {}  # in place of whole results, and of rows that were picked from them
    picked: dict[tuple[Value, Dim], Value] = {}
    names = {value.name for value in graph.values} | {node.name for node in graph.nodes}

    def row_of(value: Value, index: Dim, node: Node) -> Value:
        if value in single:
            return single[value]
        if (value, index) not in picked:
            name = f"{value.name}.row"
            while name in names:
                name += "_"
            names.add(name)
            nodes.append(made(Row(index), [value], name, node))
            picked[value, index] = nodes[-1].outputs[0]
        return picked[value, index]

    for node in graph.nodes:
        inputs = list(node.inputs)
        if isinstance(node.op, Row) and inputs[0] is not None:
            single[node.outputs[0]] = row_of(inputs[0], node.op.index, node)
            continue
        if node in alone:
            found = alone[node]
            named = zip(operand_names(node.op, len(inputs)), inputs, strict=True)
            inputs = [
                row_of(v, found.row, node) if v and n in found.by_row else v and single.get(v, v) for n, v in named
            ]
            nodes.append(replace(made(found.op, inputs, node.outputs[0].name, node), name=node.name))
            single[node.outputs[0]] = nodes[-1].outputs[0]
        else:
            nodes.append(replace(node, inputs=tuple(v and single.get(v, v) for v in inputs)))
    outputs = tuple(single.get(value, value) for value in graph.outputs)
    return renamed(replace(graph, nodes=tuple(nodes), outputs=outputs), graph.outputs)
