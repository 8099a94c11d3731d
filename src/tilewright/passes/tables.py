"""Integer functions of 8-bit values: chains of one argument become a table, sums and products take tables along.

Requantisations, activations and products with a number, one after the other, are one function of 256 arguments. It is
computed here by the references of the operators, so every intermediate saturation stays exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.op import Op
from ..ir.types import I8, I32, I64, U8, Array, Value
from ..ops import (
    Binary,
    IntegerGELU,
    IntegerHardswish,
    LookUp,
    QuantizedAdd,
    QuantizedMul,
    Requant,
    TableBinary,
    Unary,
)  # fmt: skip
from ..targets.base import Target
from .fold import fold_rule
from .layout import LAYOUT_RULES
from .rewrite import Results, Rewriter, rewrite

SMALL = (I8, U8)
FUNCTIONS = (Requant, LookUp, IntegerHardswish, IntegerGELU, Unary, Binary)


def argument(node: Node) -> int | None:
    """The operand that an integer function of one element varies with; None where there is another one."""
    y = node.outputs[0]
    if not isinstance(node.op, FUNCTIONS) or not y.type.dtype.is_integer:
        return None
    found = [i for i, v in enumerate(node.inputs) if v is None or v.data is None]
    x = node.inputs[found[0]] if len(found) == 1 else None
    if x is None or not x.type.dtype.is_integer or x.type.shape != y.type.shape:
        return None
    others = [v for v in node.inputs if v is not None and v is not x]
    single = isinstance(node.op, LookUp) or all(v.type.size == 1 for v in others)
    return found[0] if single else None


def codes(dtype: object) -> Array:
    """All values of an 8-bit type, in the order of their bits."""
    every = np.arange(256).astype(np.uint8)
    return every.view(np.int8) if dtype is I8 else every


def applied(chain: Sequence[Node], values: Array) -> Array:
    """Functions of one argument, the first one first, on a vector."""
    for node in chain:
        at, operands = argument(node), list[Array | None]()
        for i, v in enumerate(node.inputs):
            data = v.data if v is not None else None
            scalar = data is not None and not isinstance(node.op, (LookUp, Requant))
            operands.append(values if i == at else data.reshape(()) if scalar and data is not None else data)
        values = np.asarray(node.op.reference(*operands))
    return values


def chain_of(r: Rewriter, node: Node) -> tuple[list[Node], Value] | None:
    """The functions of one argument that end at a node, the first one first, and the 8-bit value they begin with.

    Wide values between them are computed on the way; 8-bit ones are passed over where nobody else reads them.
    """
    chain: list[Node] = []
    best: tuple[list[Node], Value] | None = None
    current: Node | None = node
    while current is not None and (at := argument(current)) is not None:
        chain.insert(0, current)
        x = current.inputs[at]
        assert x is not None
        if x.type.dtype in SMALL:
            best = list(chain), x
        current = r.producers.get(x) if r.single(x) or x.type.dtype not in SMALL else None
    return best


def table(r: Rewriter, node: Node) -> Results:
    """A chain that ends in 8 bits; nothing at all where every value stays what it is."""
    y = node.outputs[0]
    if y.type.dtype not in SMALL or isinstance(node.op, (Unary, Binary)):
        return None
    found = chain_of(r, node)
    if found is None or (found[0] == [node] and isinstance(node.op, LookUp)):
        return None
    chain, x = found
    results = applied(chain, codes(x.type.dtype))
    if x.type.dtype == y.type.dtype and np.array_equal(results, codes(x.type.dtype)):
        return (x,)
    return r.add(LookUp(), [x, r.const(f"{node.name}.table", results, y.type.dtype)], node)


def tables(graph: Graph, _target: Target) -> Graph:
    """Chains of integer functions of one 8-bit argument become tables."""
    return rewrite(graph, fold_rule, table, *LAYOUT_RULES)


def requantised(r: Rewriter, node: Node, function: str) -> tuple[Value, Value, int, int] | None:
    """Operands of a sum or product of 8-bit tensors, and the numbers of the requantisation that alone follows it."""
    if not isinstance(node.op, Requant):
        return None
    x, mul, add = node.inputs
    maker = r.producer(x, Binary)
    if maker is None or x is None or mul is None or add is None or mul.data is None or add.data is None:
        return None
    assert isinstance(maker.op, Binary)
    if maker.op.function != function or x.type.dtype != I32 or not r.single(x) or mul.type.size * add.type.size != 1:
        return None
    a, b = maker.inputs
    if a is None or b is None or a.type.dtype not in SMALL or b.type.dtype not in SMALL:
        return None
    return a, b, int(mul.data.reshape(())), int(add.data.reshape(()))


def behind_table(r: Rewriter, value: Value) -> tuple[Value, Array] | None:
    """What a table of i8 makes an operand of, where nobody else reads the operand."""
    node = r.producer(value, LookUp)
    if node is None or not r.single(value) or value.type.dtype != I8:
        return None
    x, entries = node.inputs
    return (x, entries.data) if x is not None and entries is not None and entries.data is not None else None


def with_tables(r: Rewriter, node: Node) -> Results:
    """Sums and products of i8 that are requantised, at least one of whose operands comes from a table."""
    return _joined(r, node, always=False)


def _joined(r: Rewriter, node: Node, always: bool) -> Results:
    found = requantised(r, node, "add") or requantised(r, node, "mul")
    if found is None or not isinstance(node.op, Requant):
        return None
    a, b, mul, add = found
    full = (node.op.low, node.op.high, node.op.dtype) == (I8.low, I8.high, I8)
    behind = [behind_table(r, v) for v in (a, b)]
    if not full or a.type.shape != b.type.shape or not (always or any(behind)):
        return None
    if any(t is None and v.type.dtype != I8 for v, t in zip((a, b), behind, strict=True)):
        return None
    function = "add" if requantised(r, node, "add") else "mul"
    operands, entries = [], []
    for value, source in zip((a, b), behind, strict=True):
        x, data = source if source is not None else (value, codes(I8))
        operands.append(x)
        entries.append(r.const(f"{node.name}.table", data, I8))
    numbers = [r.const(f"{node.name}.mul", np.asarray([mul]), I32), r.const(f"{node.name}.add", np.asarray([add]),
               I32 if I32.low <= add <= I32.high else I64)]  # fmt: skip
    return r.add(TableBinary(function, node.op.shift), [*operands, *entries, *numbers], node)


def without_tables(r: Rewriter, node: Node) -> Results:
    """Other requantised sums and products of 8-bit tensors."""
    if not isinstance(node.op, Requant):
        return None
    op: Op
    if (found := requantised(r, node, "add")) is not None:
        a, b, mul, add = found
        op = QuantizedAdd(mul, mul, add, node.op.shift, node.op.low, node.op.high, node.op.dtype)
    elif (found := requantised(r, node, "mul")) is not None:
        a, b, mul, add = found
        op = QuantizedMul(0, 0, mul, add, node.op.shift, node.op.low, node.op.high, node.op.dtype)
    else:
        return None
    return r.add(op, [a, b], node)


def joins(graph: Graph, target: Target) -> Graph:
    """Requantised sums and products become one operator; residual sums the same one in every block of a network."""
    if not any(kernel.op is TableBinary for kernel in target.kernels):
        return rewrite(graph, without_tables)
    graph = rewrite(graph, with_tables)
    seen = {(n.op.function, n.outputs[0].type) for n in graph.nodes if isinstance(n.op, TableBinary)}

    def alike(r: Rewriter, node: Node) -> Results:
        kind = node.outputs[0].type if node.outputs else None
        return next((_joined(r, node, always=True) for f, t in seen if t == kind and requantised(r, node, f)), None)

    return rewrite(graph, alike, without_tables)
