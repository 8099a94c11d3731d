"""Which nodes of a float network compute on 8-bit integers, and which values are rounded to a grid for them."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.graph import Graph, Node
from ..ir.types import F32, Value
from ..ops import (
    AveragePool2D,
    Binary,
    Clamp,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Expand,
    Gather,
    Linear,
    MatMul,
    MaxPool2D,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    Unary,
)  # fmt: skip

WEIGHTED = (Conv2D, DepthwiseConv2D, Linear)
MOVES = (Expand, Gather, MaxPool2D, Reshape, Slice, Transpose)
RISING = ("relu", "sigmoid", "hardsigmoid", "exp", "abs", "sqrt")  # functions whose results are not negative


def weighted(node: Node) -> bool:
    """A float product with constant weights and a constant bias or none."""
    if not isinstance(node.op, WEIGHTED) or node.outputs[0].type.dtype != F32:
        return False
    x, w, b = (*node.inputs, None)[:3]
    if x is None or w is None or x.data is not None or w.data is None or (b is not None and b.data is None):
        return False
    return node.op.epilogue is None or isinstance(node.op.epilogue, Clamp)


def binary(node: Node) -> bool:
    """A float sum, difference or product of two activations."""
    if not isinstance(node.op, Binary) or node.op.function not in ("add", "sub", "mul") or node.op.dtype is not None:
        return False
    return all(v is not None and v.data is None and v.type.dtype == F32 for v in node.inputs)


def mean(node: Node) -> bool:
    """A mean over windows or over height and width, which sums of integers give."""
    x = node.inputs[0] if node.inputs else None
    if x is None or x.data is not None or x.type.dtype != F32 or x.type.rank != 4:
        return False
    if isinstance(node.op, AveragePool2D):
        return node.op.count_pad and node.op.over == (0, 0)
    return isinstance(node.op, Reduce) and node.op.function == "mean" and node.op.axes == (1, 2)


def product(node: Node) -> bool:
    """A float product of two activations."""
    if not isinstance(node.op, MatMul) or node.op.epilogue is not None:
        return False
    return all(v is not None and v.data is None and v.type.dtype == F32 for v in node.inputs)


def moves(node: Node) -> bool:
    """Picks or moves floats, which may as well be integers."""
    if not isinstance(node.op, (*MOVES, Concat)) or node.outputs[0].type.dtype != F32:
        return False
    return not isinstance(node.op, Gather) or [v is not None and v.data is None for v in node.inputs] == [True, False]


def tabulated(node: Node) -> Value | None:
    """The argument of a float function of one element, which a table of 256 entries gives."""
    if not isinstance(node.op, (Unary, Binary)) or node.outputs[0].type.dtype != F32:
        return None
    if isinstance(node.op, Binary) and node.op.dtype is not None:
        return None
    varying = [v for v in node.inputs if v is not None and v.data is None]
    if len(varying) != 1 or any(v is not None and v.data is not None and v.type.size != 1 for v in node.inputs):
        return None
    x = varying[0]
    return x if x.type.dtype == F32 and x.type.shape == node.outputs[0].type.shape else None


@dataclass(frozen=True, eq=False)
class Roles:
    """`integer`: nodes that compute on integers. `needed`: values that are rounded. `linked`: values between two
    nodes that become one integer operator, which are not rounded. `kept`: nodes that stay float on request.
    """

    graph: Graph
    kept: frozenset[Node]
    integer: frozenset[Node]
    needed: frozenset[Value]
    linked: frozenset[Value]

    def rounded(self, node: Node, value: Value) -> bool:
        """Whether the node reads the value from its grid rather than as it was computed."""
        return value in self.needed and value not in self.linked and (node in self.integer or node not in self.kept)


def roles(graph: Graph, kept: frozenset[Node] = frozenset()) -> Roles:
    """Roles of all nodes, from the last to the first: what reads a result decides whether it is rounded."""
    integer: set[Node] = set()
    needed: set[Value] = set()
    linked: set[Value] = set()

    def alone(value: Value) -> bool:
        return len(graph.consumers.get(value, ())) == 1 and value not in graph.outputs

    for node in reversed(graph.nodes):
        y = node.outputs[0]
        if node in kept or len(node.outputs) != 1:
            continue
        wanted = y in needed or y in linked
        argument = tabulated(node)
        if weighted(node):
            integer.add(node)
            needed |= {v for v in node.inputs[:1] if v is not None}
        elif wanted and (binary(node) or mean(node) or product(node) or moves(node)):
            integer.add(node)
            needed |= {v for v in node.inputs if v is not None and v.type.dtype == F32}
        elif wanted and argument is not None:
            integer.add(node)
            maker = graph.producers.get(argument)
            relu = isinstance(node.op, Unary) and node.op.function == "relu"
            joins = maker is not None and (tabulated(maker) is not None or (relu and binary(maker)))
            if joins and alone(argument) and maker not in kept:
                linked.add(argument)
            else:
                needed.add(argument)
    return Roles(graph, kept, frozenset(integer), frozenset(needed), frozenset(linked))


def not_negative(graph: Graph, inputs: frozenset[Value] = frozenset()) -> frozenset[Value]:
    """Float values that cannot be negative as long as these inputs are not."""
    found: set[Value] = set(inputs)
    for node in graph.nodes:
        op = node.op
        parts = [
            v in found or (v is not None and v.data is not None and bool((v.data >= 0).all())) for v in node.inputs
        ]
        known = bool(parts) and all(parts)
        match op:
            case Conv2D() | DepthwiseConv2D() | Linear():
                sure = isinstance(op.epilogue, Clamp) and op.epilogue.low >= 0
            case Unary(function=function):
                sure = function in RISING
            case Softmax():
                sure = True
            case MaxPool2D() | Reshape() | Slice() | Transpose() | Concat() | Expand() | AveragePool2D() | MatMul():
                sure = known
            case Gather():
                sure = parts[0]
            case Reduce(function=function):
                sure = known and function in ("mean", "sum", "max", "min")
            case Binary(function="max"):
                sure = any(parts)
            case Binary(function=function):
                sure = known and function in ("add", "mul", "min", "div")
            case _:
                sure = False
        if sure:
            found |= set(node.outputs)
    return frozenset(found)
