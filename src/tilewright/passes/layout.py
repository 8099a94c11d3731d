"""Transposes sink towards the outputs, meet and cancel. What is left stands at the interface of the network.

A frontend wraps operators that work channels-last into transposes; here they move behind everything that does not
care about the order of axes: elementwise operators, reductions, joins, reshapes that only drop or add axes of 1.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.op import Op
from ..ir.types import Value
from ..ops import (
    ArgReduce,
    Binary,
    Cast,
    Concat,
    Cumulative,
    Dequantize,
    Gather,
    Linear,
    LookUp,
    Pad,
    Quantize,
    Reduce,
    Requant,
    Reshape,
    Select,
    Slice,
    Softmax,
    Transpose,
    Unary,
)  # fmt: skip
from ..targets.base import Target
from .fold import fold_rule
from .rewrite import Results, Rewriter, rewrite

Perm = tuple[int, ...]


def inverse(perm: Perm) -> Perm:
    """The permutation that undoes one."""
    return tuple(int(i) for i in np.argsort(perm))


def below(r: Rewriter, value: Value | None) -> tuple[Value, Perm] | None:
    """What a transpose made the value of, and its permutation."""
    node = r.producer(value, Transpose)
    if node is None or node.inputs[0] is None:
        return None
    assert isinstance(node.op, Transpose)
    return node.inputs[0], node.op.perm


def transposed(r: Rewriter, value: Value, perm: Perm, like: Node) -> Value:
    """A transpose of a value; of a constant at once."""
    if perm == tuple(range(len(perm))):
        return value
    if value.data is not None:
        return r.const(f"{value.name}.t", np.ascontiguousarray(value.data.transpose(perm)), value.type.dtype)
    return r.add(Transpose(perm), [value], like)[0]


def merge(r: Rewriter, node: Node) -> Results:
    """Transposes of transposes; transposes that change nothing, or only the place of axes of 1."""
    if not isinstance(node.op, Transpose) or node.inputs[0] is None:
        return None
    x, perm = node.inputs[0], node.op.perm
    if perm == tuple(range(len(perm))):
        return (x,)
    inner = below(r, x)
    if inner is not None:
        source, first = inner
        return (transposed(r, source, tuple(first[p] for p in perm), node),)
    shape = x.type.static_shape
    moved = [p for p in perm if shape[p] != 1]
    if moved == sorted(moved):
        return r.add(Reshape(tuple(shape[p] for p in perm)), [x], node)
    return None


def through_reshape(r: Rewriter, node: Node) -> Results:
    """Reshapes of reshapes are one; those that keep the shape none; those that drop or add axes of 1 go first."""
    if not isinstance(node.op, Reshape) or node.inputs[0] is None:
        return None
    x, wanted = node.inputs[0], node.op.shape
    if x.type.shape == wanted:
        return (x,)
    inner = r.producer(x, Reshape)
    if inner is not None:
        return r.add(Reshape(wanted), [inner.inputs[0]], node)
    found = below(r, x)
    if found is None:
        return None
    source, perm = found
    shape = x.type.static_shape
    if [d for d in shape if d != 1] != [d for d in wanted if d != 1]:
        return None
    long = [perm[a] for a, d in enumerate(shape) if d != 1]  # source axis of each long axis, in the order of the result
    order = sorted(long)
    ones = len(wanted) - len(long)
    middle = (*[1] * ones, *[source.type.static_shape[a] for a in order])
    one, place, new = iter(range(ones)), iter(long), []
    for d in wanted:
        new.append(next(one) if d == 1 else ones + order.index(next(place)))
    return (transposed(r, r.add(Reshape(middle), [source], node)[0], tuple(new), node),)


def sink(r: Rewriter, node: Node) -> Results:
    """f(transpose(x)) becomes transpose(f(x)) for operators of one operand (parameters aside)."""
    if not node.inputs or len(node.outputs) != 1:
        return None
    found = below(r, node.inputs[0])
    if found is None:
        return None
    source, perm = found
    op = _permuted(node.op, perm) if node.outputs[0].type.rank == len(perm) else None
    if op is None:
        return None
    y = r.add(op, [source, *node.inputs[1:]], node)[0]
    return (transposed(r, y, perm, node),)


def _permuted(op: Op, perm: Perm) -> Op | None:
    """The operator that works on the source of a transpose, where its result is transposed alike."""
    back = inverse(perm)
    match op:
        case Unary() | Cast() | LookUp():
            return op
        case Requant() | Quantize() | Dequantize():
            return replace(op, axis=perm[op.axis] - len(perm))
        case Softmax() | ArgReduce() | Cumulative() | Gather():
            return replace(op, axis=perm[op.axis])
        case Reduce():
            return replace(op, axes=tuple(sorted(perm[a] for a in op.axes)))
        case Pad():
            return replace(op, before=tuple(op.before[b] for b in back), after=tuple(op.after[b] for b in back))
        case Slice():
            start, step, shape = (tuple(v[b] for b in back) for v in (op.start, op.step, op.shape))
            return Slice(start, step, shape)
        case _:
            return None


def sink_joint(r: Rewriter, node: Node) -> Results:
    """Elementwise operators of several operands, and joins: all operands transposed alike, or constant, or single."""
    if not isinstance(node.op, (Binary, Select, Concat)):
        return None
    rank = node.outputs[0].type.rank
    perms = {found[1] for v in node.inputs if (found := below(r, v)) is not None and len(found[1]) == rank}
    if len(perms) != 1:
        return None
    perm = perms.pop()
    operands: list[Value | None] = []
    for value in node.inputs:
        operand = _before(r, value, perm, node)
        if operand is None:
            return None
        operands.append(operand)
    op = replace(node.op, axis=perm[node.op.axis]) if isinstance(node.op, Concat) else node.op
    return (transposed(r, r.add(op, operands, node)[0], perm, node),)


def _before(r: Rewriter, value: Value | None, perm: Perm, node: Node) -> Value | None:
    """The operand that, transposed by `perm`, is `value`; None where that would cost a transpose."""
    assert value is not None
    found = below(r, value)
    if found is not None and found[1] == perm:
        return found[0]
    if value.type.size == 1 and not isinstance(node.op, Concat):
        return value
    if value.data is not None:
        wide = value.data.reshape((1,) * (len(perm) - value.type.rank) + value.data.shape)
        return r.const(f"{value.name}.t", np.ascontiguousarray(wide.transpose(inverse(perm))), value.type.dtype)
    return None


def before_reshape(r: Rewriter, node: Node) -> Results:
    """Elementwise work comes before a reshape of its operand, where it is done in the shape that its maker gave it."""
    shape = r.producer(node.inputs[0] if node.inputs else None, Reshape)
    if shape is None or shape.inputs[0] is None or node.inputs[0] is None or not r.single(node.inputs[0]):
        return None
    x, old, new = shape.inputs[0], shape.inputs[0].type.static_shape, node.inputs[0].type.static_shape
    match node.op:
        case Unary() | Cast() | LookUp():
            pass
        case Requant() | Quantize() | Dequantize():
            single = all(v is not None and v.type.size == 1 for v in node.inputs[1:])
            if not single and (node.op.axis % len(new) != len(new) - 1 or old[-1:] != new[-1:]):
                return None
        case Binary():
            other = node.inputs[1]
            vector = other is not None and other.type.shape == new[-1:] == old[-1:]
            if other is None or other.data is None or not (vector or other.type.shape in ((), (1,))) or not old:
                return None
        case _:
            return None
    y = r.add(node.op, [x, *node.inputs[1:]], node)[0]
    return r.add(Reshape(new), [y], node)


def into_weights(r: Rewriter, node: Node) -> Results:
    """A Linear that reads a flattened transpose reads the flattened source, its columns permuted."""
    if not isinstance(node.op, Linear) or node.inputs[1] is None:
        return None
    flat = r.producer(node.inputs[0], Reshape)
    found = below(r, flat.inputs[0]) if flat is not None else None
    weights, w = r.producer(node.inputs[1], Dequantize), node.inputs[1]
    if found is None or (w.data is None and not _constant(weights)):
        return None
    source, perm = found
    assert flat is not None
    shape = flat.inputs[0].type.static_shape if flat.inputs[0] is not None else ()
    out = flat.outputs[0].type.static_shape
    if perm[0] != 0 or out != (shape[0], math.prod(shape[1:])):
        return None
    rows = w.type.static_shape[0]
    back = inverse(tuple(p - 1 for p in perm[1:]))
    steps: tuple[Op, ...] = (
        Reshape((rows, *shape[1:])),
        Transpose((0, *(b + 1 for b in back))),
        Reshape((rows, out[1])),
    )
    for step in steps:
        w = r.add(step, [w], node)[0]
    x = r.add(Reshape(out), [source], node)[0]
    return r.add(node.op, [x, w, *node.inputs[2:]], node)


def _constant(node: Node | None) -> bool:
    return node is not None and all(v is not None and v.data is not None for v in node.inputs)


def past_dequantize(r: Rewriter, node: Node) -> Results:
    """Movement of dequantised constants is movement of the stored integers."""
    if not isinstance(node.op, (Transpose, Reshape)):
        return None
    maker = r.producer(node.inputs[0], Dequantize)
    if maker is None or not _constant(maker):
        return None
    x, scale, zero = maker.inputs
    assert x is not None
    assert scale is not None
    assert isinstance(maker.op, Dequantize)
    axis = maker.op.axis
    if scale.type.size > 1:
        at = axis % x.type.rank
        if isinstance(node.op, Transpose):
            axis = node.op.perm.index(at) - x.type.rank
        else:
            same = [a for a, d in enumerate(node.op.shape) if d == x.type.static_shape[at]
                    and math.prod(node.op.shape[:a]) == math.prod(x.type.static_shape[:at])]  # fmt: skip
            if not same:
                return None
            axis = same[-1] - len(node.op.shape)
    moved = r.add(node.op, [x], node)[0]
    return r.add(Dequantize(axis), [moved, scale, zero], node)


LAYOUT_RULES = (fold_rule, past_dequantize, merge, through_reshape, sink, sink_joint, before_reshape, into_weights)


def layout(graph: Graph, _target: Target) -> Graph:
    """Sink and cancel transposes, merge reshapes, permute the weights of a Linear after a flattened transpose."""
    return rewrite(graph, *LAYOUT_RULES)
