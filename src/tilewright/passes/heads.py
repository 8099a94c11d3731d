"""Attention of integer networks becomes units: heads turned by a matrix, and everything from scores to mixed values."""

from __future__ import annotations

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import I8, I32, Array, Value
from ..ops import (
    Binary,
    Expand,
    IntegerAttention,
    IntegerSoftmax,
    LookUp,
    MatMul,
    Requant,
    Requantise,
    Reshape,
    RotateHeads,
    Transpose,
)
from ..ops.integer_attention import largest_exponential
from ..targets.base import Target
from .layout import layout
from .rewrite import Results, Rewriter, rewrite
from .tables import codes


def _requantised(node: Node) -> Requantise | None:
    """The requantisation over all of i8 of a product of two tensors of i8."""
    epilogue = node.op.epilogue if isinstance(node.op, MatMul) else None
    if not isinstance(epilogue, Requantise):
        return None
    a, b = node.inputs[:2]
    if a is None or b is None or a.type.dtype != I8 or b.type.dtype != I8:
        return None
    full = (epilogue.low, epilogue.high, epilogue.dtype) == (I8.low, I8.high, I8)
    return epilogue if full and all(v is not None and v.data is not None for v in node.inputs[2:]) else None


def rotation(r: Rewriter, node: Node) -> Results:
    """[1, t, heads, hd] times [1, t, hd, hd]: heads are turned where they stand in a row."""
    if not isinstance(node.op, MatMul) or node.op.transpose_b:
        return None
    epilogue, (x, m, mul, add) = _requantised(node), (*node.inputs, None, None)[:4]
    if epilogue is None or x is None or m is None or m.data is not None or x.type.rank != 4 or m.type.rank < 2:
        return None
    _, tokens, heads, hd = x.type.static_shape
    shared, own = (1,) * (m.type.rank - 2) + (hd, hd), (1, tokens, hd, hd)
    if x.type.shape[0] != 1 or m.type.shape not in (shared, own, own[1:]):
        return None
    rows = r.add(Reshape((tokens, heads * hd)), [x], node)[0]
    matrices = r.add(Reshape((m.type.size // hd**2, hd, hd)), [m], node)[0]
    y = r.add(RotateHeads(heads, epilogue.shift), [rows, matrices, mul, add], node)[0]
    return r.add(Reshape(x.type.static_shape), [y], node)


def rotation_table(r: Rewriter, node: Node) -> Results:
    """What follows a rotation by table."""
    maker = r.producer(node.inputs[0], RotateHeads) if isinstance(node.op, LookUp) else None
    if maker is None or len(maker.inputs) > 4 or not r.single(maker.outputs[0]) or node.outputs[0].type.dtype != I8:
        return None
    return r.add(maker.op, [*maker.inputs, node.inputs[1]], node)


def _through(r: Rewriter, value: Value, only: bool = True) -> tuple[Value, Array] | None:
    """What a table makes the value of, and the table; the value itself and all of i8 where there is none."""
    node = r.producer(value, LookUp)
    if node is not None and (r.single(value) or not only):
        x, table = node.inputs
        if x is not None and table is not None and table.data is not None and value.type.dtype == I8:
            return x, table.data
    return (value, codes(I8)) if value.type.dtype == I8 else None


def _rows(r: Rewriter, value: Value, like: Node, perm: tuple[int, ...]) -> Value:
    """[s, heads * hd] from four axes that `perm` brings into the order 1, s, heads, hd."""
    turned = r.add(Transpose(perm), [value], like)[0]
    _, positions, heads, hd = turned.type.static_shape
    return r.add(Reshape((positions, heads * hd)), [turned], like)[0]


def _cache(r: Rewriter, value: Value, like: Node, *, turned: bool) -> tuple[Value, int]:
    """Rows [s, kv_heads * hd] of keys or values, and the heads that they have; `turned`: positions are the last axis.

    Heads that are shared by several query heads are repeated before the product; the rows are those before.
    """
    flip = r.producer(value, Transpose) if turned else None
    first = flip.inputs[0] if flip is not None and flip.op == Transpose((0, 1, 3, 2)) else value
    flat = r.producer(first, Reshape)
    wide = r.producer(flat.inputs[0], Expand) if flat is not None else None
    source = wide.inputs[0] if wide is not None else None
    if flat is not None and wide is not None and source is not None and source.type.rank == 5:
        one, kv_heads, single, positions, hd = source.type.static_shape
        group = wide.outputs[0].type.static_shape[2]
        repeated = wide.outputs[0].type.shape == (1, kv_heads, group, positions, hd) and one == single == 1
        found = flat.outputs[0].type.shape
        same = found == (1, kv_heads * group, positions, hd) and (not turned or first is not value)
        flat_turn = turned and 1 in (positions, hd) and found == (1, kv_heads * group, hd, positions)
        if repeated and (same or flat_turn):
            few = r.add(Reshape((1, kv_heads, positions, hd)), [source], like)[0]
            return _rows(r, few, like, (0, 2, 1, 3)), kv_heads
    return _rows(r, value, like, (0, 3, 1, 2) if turned else (0, 2, 1, 3)), value.type.static_shape[1]


def attention(r: Rewriter, node: Node) -> Results:
    """Requantised product of q and k, tables, a mask or none, softmax, table, requantised product with v."""
    out = _requantised(node)
    if out is None or not isinstance(node.op, MatMul) or node.op.transpose_b or node.inputs[0] is None:
        return None
    found = _through(r, node.inputs[0])
    softmax = r.producer(found[0], IntegerSoftmax) if found is not None else None
    if found is None or softmax is None or not r.single(softmax.outputs[0]) or softmax.inputs[0] is None:
        return None
    weight, masked = found[1], _masked(r, softmax.inputs[0])
    if masked is None or len(weight) != 256:
        return None
    code, scale, hidden = masked
    scores = r.producer(code, MatMul)
    score = _requantised(scores) if scores is not None else None
    if scores is None or score is None or not r.single(code):
        return None
    (q, k), v = scores.inputs[:2], node.inputs[1]
    assert q is not None
    assert k is not None
    assert v is not None
    assert isinstance(scores.op, MatMul)
    assert isinstance(softmax.op, IntegerSoftmax)
    shapes = [value.type.static_shape for value in (q, k, v)]
    if any(len(shape) != 4 or shape[0] != 1 for shape in shapes):
        return None
    (_, heads, _, hd), seen = shapes[0], code.type.static_shape[-1]
    if shapes[1][1] != heads or shapes[2] != (1, heads, seen, hd):
        return None
    numbers = _numbers(scores, node)
    exp = exponentials(softmax.op)
    if numbers is None or exp.min() < 0 or exp.max() > largest_exponential(softmax.op.levels, seen):
        return None
    plain = scale if hidden is None else hidden.joined(scale, hidden.table[0])
    name = node.name
    (keys, kv_heads), (values, others) = (
        _cache(r, k, node, turned=not scores.op.transpose_b), _cache(r, v, node, turned=False)
    )  # fmt: skip
    if kv_heads != others:
        return None
    operands: list[Value | None] = [
        _rows(r, q, node, (0, 2, 1, 3)),
        keys,
        values,
        r.const(f"{name}.plain", plain, I8),
        r.const(f"{name}.exp", exp, I32),
        r.const(f"{name}.weight", weight, I8),
        r.const(f"{name}.numbers", numbers, I32),
    ]
    if hidden is not None:
        operands.append(r.add(Reshape(hidden.shape), [hidden.mask], node)[0])
        operands += [r.const(f"{name}.{n}", t, I8)
                     for n, t in (("scale", scale), ("hide", hidden.table), ("join", hidden.join))]  # fmt: skip
    op = IntegerAttention(heads, kv_heads, score.shift, out.shift, softmax.op.levels)
    y = r.add(op, operands, node)[0]
    split = r.add(Reshape((1, shapes[0][2], heads, hd)), [y], node)[0]
    return r.add(Transpose((0, 2, 1, 3)), [split], node)


class _Hidden:
    """A mask of i8 that is added to scores: its table, and what follows the sum, from -256 on."""

    def __init__(self, mask: Value, table: Array, join: Array, shape: tuple[int, int]) -> None:
        self.mask, self.table, self.join, self.shape = mask, table, join, shape

    def joined(self, scores: Array, hide: Array) -> Array:
        return np.asarray(self.join[scores.astype(np.int64) + int(hide) + 256])


def _masked(r: Rewriter, a: Value) -> tuple[Value, Array, _Hidden | None] | None:
    """What the softmax takes: requantised scores, their table, and the mask that was added."""
    if not r.single(a):
        return None
    after = _through(r, a)
    joint = r.producer(after[0], Requant) if after is not None else None
    total = r.producer(joint.inputs[0], Binary) if joint is not None else None
    if after is None:
        return None
    if joint is None or total is None:
        return (*after, None)
    assert isinstance(total.op, Binary)
    x, mul, add = joint.inputs
    if total.op.function != "add" or x is None or not r.single(x) or mul is None or add is None or x.type.rank != 4:
        return None
    if mul.type.size * add.type.size != 1 or mul.data is None or add.data is None or joint.outputs[0].type.dtype != I8:
        return None
    tokens, seen = x.type.static_shape[-2:]
    for scores, mask in (total.inputs, total.inputs[::-1]):
        assert scores is not None
        assert mask is not None
        found, hidden = _through(r, scores), _through(r, mask, only=False)
        few = mask.type.size in (seen, tokens * seen) and mask.type.shape[-1:] == (seen,)
        if scores.type.shape != x.type.shape or found is None or hidden is None or not few or not r.single(scores):
            continue
        if mask.type.size != seen and mask.type.shape[-2:] != (tokens, seen):
            continue
        sums = np.arange(-256, 256, dtype=np.int32)
        join = after[1][np.asarray(joint.op.reference(sums, mul.data, add.data)).view(np.uint8)]
        return (*found, _Hidden(hidden[0], hidden[1], join, (mask.type.size // seen, seen)))
    return None


def _numbers(scores: Node, mixed: Node) -> Array | None:
    """Multipliers and addends of both products, where they fit i32."""
    values = [
        int(v.data.reshape(())) for n in (scores, mixed) for v in n.inputs[2:4] if v is not None and v.data is not None
    ]
    fit = all(I32.low <= value <= I32.high for value in values)
    return np.asarray(values, np.int32) if fit and len(values) == 4 else None


def exponentials(op: IntegerSoftmax) -> Array:
    """The exponential of iSoftmax for every distance of 0 .. 255 from the greatest."""
    d = -np.arange(256, dtype=np.int64)
    z = np.clip(-d // op.log2, 0, 31)
    return np.asarray((op.a * (d + z * op.log2 + op.b) ** 2 + op.c) >> z)


def heads(graph: Graph, target: Target) -> Graph:
    """Rotations and attention of integer networks, where the target has kernels for them."""
    known = {kernel.op for kernel in target.kernels}
    if IntegerAttention in known:
        graph = layout(rewrite(graph, attention), target)
    if RotateHeads in known:  # after attention, whose products may have the same shapes
        graph = layout(rewrite(graph, rotation), target)
        graph = rewrite(graph, rotation_table)
    return graph
