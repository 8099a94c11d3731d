"""Constant folding: operators whose operands are all known are computed by their own references."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Graph, Node
from ..ir.op import Op, operand_names, result_names
from ..ir.types import Array, Expr, Sym, TensorType, Value, maximum
from ..ops import Conv2D, Copy, DepthwiseConv2D, Dequantize, Linear, MatMul
from ..targets.base import Target
from .rewrite import Rewriter, rewrite

LARGEST_WORK = 1 << 30  # multiply-accumulates that folding a product may cost
LARGEST_FOLD = 1 << 28  # bytes of a result that is worth keeping as a constant


def foldable(op: Op, inputs: Sequence[Value | None]) -> bool:
    """Whether the results are constants. Dequantised weights stay as they are until quantised operators are made."""
    if isinstance(op, (Dequantize, Copy)) or not inputs:
        return False
    if not all(v is None or v.data is not None for v in inputs):
        return False
    if any(isinstance(attribute, Expr | Sym) for attribute in op.attributes.values()):  # known when it runs
        return False
    if not isinstance(op, (Conv2D, DepthwiseConv2D, Linear, MatMul)):
        return True
    types = [v.type if v is not None else None for v in inputs]
    results = op.infer(*types)
    names = [*operand_names(op, len(types)), *result_names(op, len(results))]
    shapes = {name: kind.shape for name, kind in zip(names, (*types, *results), strict=True) if kind is not None}
    return maximum(op.domain(*types, *results).macs(shapes)) <= LARGEST_WORK


def evaluate(op: Op, inputs: Sequence[Value | None]) -> list[tuple[Array, TensorType]]:
    """Results of an operator on constants, with their types."""
    types = op.infer(*(v.type if v is not None else None for v in inputs))
    got = op.reference(*(v.data if v is not None else None for v in inputs))
    return list(zip(got if isinstance(got, tuple) else (got,), types, strict=True))


def fold_rule(rewriter: Rewriter, node: Node) -> tuple[Value, ...] | None:
    """Constants for a node whose operands are all constant, dequantised weights excepted."""
    if not foldable(node.op, node.inputs) or sum(v.type.bytes for v in node.outputs) > LARGEST_FOLD:
        return None
    return _constants(rewriter, node)


def _constants(rewriter: Rewriter, node: Node) -> tuple[Value, ...]:
    results = zip(node.outputs, evaluate(node.op, node.inputs), strict=True)
    return tuple(rewriter.const(value.name, array, kind.dtype) for value, (array, kind) in results)


def fold(graph: Graph, _target: Target) -> Graph:
    """Fold everything that is constant, dequantised weights included."""

    def rule(rewriter: Rewriter, node: Node) -> tuple[Value, ...] | None:
        if isinstance(node.op, Copy) or not node.inputs or any(v is not None and v.data is None for v in node.inputs):
            return None
        return None if sum(v.type.bytes for v in node.outputs) > LARGEST_FOLD else _constants(rewriter, node)

    return rewrite(graph, rule)
