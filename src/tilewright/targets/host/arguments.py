"""What the rows of several families compute for their arguments."""

from __future__ import annotations

import numpy as np

from ...ir.graph import Node
from ...ir.types import Dim, Expr, TensorType, maximum
from ...ops.epilogue import Clamp

LARGEST = float(np.finfo(np.float32).max)


def product(dims: tuple[Dim, ...]) -> Dim:
    """Elements of a shape with at most one run-time dimension (others count as their maximum)."""
    total: Dim = 1
    for dim in dims:
        if isinstance(dim, int):
            total = Expr.of(total) * dim
        elif isinstance(total, int):
            total = Expr.of(dim) * total
        else:
            total = Expr.of(total) * maximum(dim)
    return Expr.of(total).simplified()


def type_of(node: Node, operand: str) -> TensorType:
    """Type of an operand or result, by the name in the access maps."""
    return node.operands[operand].type


def clamp(node: Node) -> dict[str, float]:
    """Bounds of float results; where there are none, the largest numbers."""
    epilogue = node.op.attributes["epilogue"]
    low, high = (epilogue.low, epilogue.high) if isinstance(epilogue, Clamp) else (-np.inf, np.inf)
    return {"low": max(low, -LARGEST), "high": min(high, LARGEST)}
