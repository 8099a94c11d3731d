"""Products of one row as plain sums, and what follows them in a call of its own, where that costs fewer cycles.

An engine beside the cores is quickest where its results are neither scaled nor cut, and computes no residual streams.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.graph import Node
from ..ir.types import I8, U8, Value
from ..ops import Columns, GatedSums, Linear, LinearAdd, RestAdd, ScaledAdd
from ..targets.base import Target
from .cheaper import cost
from .rewrite import Results, Rewriter, made

REST = 4  # inputs that cores add to sums of others


def joined_sums(r: Rewriter, target: Target, node: Node, always: bool = False) -> Results:
    """For a product that joins a residual stream; `always`: whether it costs fewer cycles or not."""
    if not isinstance(node.op, LinearAdd):
        return None
    x, w, residual, mul = node.inputs
    if x is None or w is None or w.data is None or mul is None or x.type.shape[:-1] != (1,) or x.type.dtype != I8:
        return None
    if mul.type.dtype != U8 or mul.type.shape != w.type.shape[:1] or w.type.dtype != I8 or node.op.shift > 30:
        return None
    product = made(Linear(), [x, w], r.unique(f"{node.name}.sums"), node)
    after = ScaledAdd(node.op.shift, bound_of(w))
    last = made(after, [product.outputs[0], residual, mul], r.unique(node.name), node)
    cycles = cost(target, [product, last])
    found = _without_rest(r, target, node, cycles)
    if found is not None:
        return found
    if not always and cycles >= cost(target, [node]):
        return None
    return r.add(after, [r.add(Linear(), [x, w], node)[0], residual, mul], node)


def _without_rest(r: Rewriter, target: Target, node: Node, most: float) -> Results:
    """The same where what follows has the last four inputs, for which an engine would start anew: in less than `most`.

    N-EUREKA takes in 252 inputs at once: it computes products of 256 as those of 504.
    """
    x, w, residual, mul = node.inputs
    assert x is not None
    assert w is not None
    assert w.data is not None
    assert isinstance(node.op, LinearAdd)
    inputs, at_once = w.type.static_shape[1], target.inputs_at_once
    rest = inputs % at_once if at_once else 0
    if rest != REST or inputs == REST:
        return None
    first = inputs - rest
    weights = [r.const(f"{node.name}.w", part, I8) for part in (w.data[:, :first], w.data[:, first:])]
    after = RestAdd(node.op.shift, bound_of(w))
    parts = [made(Columns(*at), [x], r.unique(f"{node.name}.x"), node) for at in ((0, first), (first, rest))]
    (begin,), (end,) = (part.outputs for part in parts)
    product = made(Linear(), [begin, weights[0]], r.unique(f"{node.name}.sums"), node)
    last = made(after, [product.outputs[0], end, weights[1], residual, mul], r.unique(node.name), node)
    if cost(target, [product, last]) >= most:
        return None
    (begin,), (end,) = (r.add(part.op, part.inputs, node) for part in parts)
    (sums,) = r.add(Linear(), [begin, weights[0]], node)
    return r.add(after, [sums, end, weights[1], residual, mul], node)


def gated_sums(r: Rewriter, target: Target, node: Node, pair: Sequence[Node], op: GatedSums, most: float) -> Results:
    """For gate, up and SwiGLU, where cycles are below `most`."""
    x, weights, muls = pair[0].inputs[0], [m.inputs[1] for m in pair], [m.inputs[3] for m in pair]
    w, mul = (
        np.concatenate([v.data for v in values if v is not None and v.data is not None]) for values in (weights, muls)
    )
    fixed = r.const(f"{node.name}.w", w, I8), r.const(f"{node.name}.mul", mul, U8)
    table = own_table(r, node)
    product = made(Linear(), [x, fixed[0]], r.unique(f"{node.name}.sums"), node)
    last = made(op, [product.outputs[0], fixed[1], table], r.unique(node.name), node)
    if cost(target, [product, last]) >= most:
        return None
    return r.add(op, [r.add(Linear(), [x, fixed[0]], node)[0], fixed[1], table], node)


def own_table(r: Rewriter, node: Node) -> Value | None:
    """A copy of a SwiGLU's table: prompts, which do not do this in one call, may want it in another layout."""
    table = node.inputs[2]
    return table if table is None or table.data is None else r.const(f"{node.name}.table", table.data, table.type.dtype)


def bound_of(w: Value) -> int:
    """What sums of products with bytes stay within, whatever the weights: layers of one shape remain alike."""
    return w.type.static_shape[1] << 14
