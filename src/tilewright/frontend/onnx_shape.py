"""ONNX's operators that move data or compute with shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..ir.types import BOOL, F32, I64, Array, Value
from ..ops import (
    Binary,
    Cast,
    Concat,
    Expand,
    Gather,
    GatherElements,
    GatherND,
    Linear,
    Pad,
    Reshape,
    Scatter,
    Select,
    Slice,
    TopK,
    Transpose,
)  # fmt: skip
from .onnx_import import ELEMENT_TYPES, Converter, Importer, OnnxNode, Results

JOINED = 4  # operands of one Concat: what a kernel takes


def reshaped(g: Importer, x: Value, shape: Sequence[int]) -> Value:
    """X under another shape; nothing where it has it already."""
    wanted = tuple(int(d) for d in shape)
    return x if x.type.shape == wanted else g.emit(Reshape(wanted), x)


def transposed(g: Importer, x: Value, perm: Sequence[int]) -> Value:
    wanted = tuple(int(p) for p in perm)
    return x if wanted == tuple(range(len(wanted))) else g.emit(Transpose(wanted), x)


def joined(g: Importer, parts: Sequence[Value], axis: int) -> Value:
    """Concat of any number of parts; empty ones are left out."""
    filled = [p for p in parts if p.type.static_shape[axis] > 0] or list(parts[:1])
    while len(filled) > 1:
        filled = [g.emit(Concat(axis), *filled[:JOINED]), *filled[JOINED:]]
    return filled[0]


def sliced(g: Importer, x: Value, axis: int, start: int, size: int, step: int = 1) -> Value:
    """`size` elements along one axis."""
    shape = x.type.static_shape
    if (start, size, step) == (0, shape[axis], 1):
        return x
    if size <= 0:
        start, size, step = 0, 0, 1
    starts, steps, sizes = [0] * len(shape), [1] * len(shape), list(shape)
    starts[axis], steps[axis], sizes[axis] = start, step, size
    return g.emit(Slice(tuple(starts), tuple(steps), tuple(sizes)), x)


def expanded(g: Importer, x: Value, shape: tuple[int, ...]) -> Value:
    return x if x.type.shape == shape else g.emit(Expand(shape), x)


def shape_input(n: OnnxNode, index: int, what: str) -> tuple[int, ...] | None:
    """A shape that is a constant, else None where the model itself declares the result's shape."""
    if n.input(index).data is None and n.declared() is not None:
        return None
    return n.known_integers(index, what)


def reshape(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    wanted = n.integers("shape") if n.version < 5 else shape_input(n, 1, "the shape")
    if wanted is None:
        return reshaped(g, x, n.declared() or ())
    old = x.type.static_shape
    if not n.integer("allowzero"):
        if any(d == 0 and axis >= len(old) for axis, d in enumerate(wanted)):
            raise n.refuse(f"shape {list(wanted)}", "0 copies a dimension that the operand has")
        wanted = tuple(old[axis] if d == 0 else d for axis, d in enumerate(wanted))
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1:
        raise n.refuse(f"shape {list(wanted)}", "at most one dimension is -1")
    if -1 in wanted:
        rest = math.prod(d for d in wanted if d != -1)
        if rest == 0 or math.prod(old) % rest:
            raise n.refuse(f"shape {list(wanted)} of {list(old)}", "a reshape keeps the number of elements")
        wanted = tuple(math.prod(old) // rest if d == -1 else d for d in wanted)
    return reshaped(g, x, wanted)


def flatten(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    shape = x.type.static_shape
    axis = n.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise n.refuse(f"axis {axis}", "the axis is one of the operand's")
    axis = axis + len(shape) if axis < 0 else axis
    return reshaped(g, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _axes(n: OnnxNode, version: int) -> tuple[int, ...] | None:
    """Axes, an attribute before `version` and an input since; None where they are left out or not constant."""
    if n.version < version:
        return n.integers("axes") if "axes" in n.attributes else None
    value = n.optional(1)
    return None if value is None else n.known_integers(1, "axes")


def squeeze(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    shape = x.type.static_shape
    given = n.optional(1)
    if given is not None and given.data is None and n.declared() is not None:
        return reshaped(g, x, n.declared() or ())
    axes = _axes(n, 13)
    gone = {a for a, d in enumerate(shape) if d == 1} if axes is None else {n.inside(a, len(shape)) for a in axes}
    if any(shape[a] != 1 for a in gone):
        raise n.refuse(f"axes {sorted(gone)} of {list(shape)}", "squeezed axes have extent 1")
    return reshaped(g, x, [d for a, d in enumerate(shape) if a not in gone])


def unsqueeze(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    given = n.optional(1)
    if given is not None and given.data is None and n.declared() is not None:
        return reshaped(g, x, n.declared() or ())
    axes = _axes(n, 13)
    if axes is None:
        raise n.refuse("axes are missing", "axes are given")
    rank = x.type.rank + len(axes)
    new = {n.inside(a, rank) for a in axes}
    if len(new) != len(axes):
        raise n.refuse(f"axes {axes}", "each axis is named once")
    rest = iter(x.type.static_shape)
    return reshaped(g, x, [1 if a in new else next(rest) for a in range(rank)])


def transpose(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    return transposed(g, x, n.integers("perm", tuple(reversed(range(x.type.rank)))))


def shape_of(g: Importer, n: OnnxNode) -> Results:
    shape = n.shape()
    start, end = n.integer("start"), n.attribute("end")
    return g.const(np.array(shape[start : end if end is None else int(end)], np.int64), I64)


def size_of(g: Importer, n: OnnxNode) -> Results:
    return g.const(np.array(math.prod(n.shape()), np.int64), I64)


def constant(g: Importer, n: OnnxNode) -> Results:
    if "value" in n.attributes:
        return g.stored(n.attribute("value"))
    numbers = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    for name, kind in numbers.items():
        if name in n.attributes:
            return g.stored(np.asarray(n.attribute(name), kind))
    raise n.refuse("a constant of strings or a sparse one", "constants are tensors of numbers")


def constant_of_shape(g: Importer, n: OnnxNode) -> Results:
    shape = shape_input(n, 0, "the shape")
    value = n.attribute("value", np.zeros(1, np.float32))
    wanted = n.declared() if shape is None else shape
    if wanted is None or min(wanted, default=0) < 0:
        raise n.refuse(f"shape {wanted}", "dimensions are not negative")
    return expanded(g, g.const(np.asarray(value).reshape(())), wanted)


def concat(g: Importer, n: OnnxNode) -> Results:
    parts = [n.input(i) for i in range(len(n.inputs))]
    return joined(g, parts, n.axis(1, parts[0].type.rank))


def split(g: Importer, n: OnnxNode) -> Results:
    x, count = n.input(0), len(n.proto.output)
    axis = n.axis(0, x.type.rank)
    extent = n.shape()[axis]
    if n.version < 13 and "split" in n.attributes:
        sizes = n.integers("split")
    elif n.version >= 13 and n.optional(1) is not None:
        sizes = n.known_integers(1, "the sizes of the parts")
    else:
        each = -(-extent // max(1, n.integer("num_outputs", count)))
        sizes = tuple(max(0, min(each, extent - i * each)) for i in range(count))
    if sum(sizes) != extent or len(sizes) != count or min(sizes, default=0) < 0:
        raise n.refuse(f"parts {list(sizes)} of {extent}", "the parts add up to the axis, one per output")
    starts = np.cumsum([0, *sizes])
    return [sliced(g, x, axis, int(s), size) for s, size in zip(starts, sizes, strict=False)]


def slice_(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    shape = x.type.static_shape
    if n.version < 10:
        starts, ends = n.integers("starts"), n.integers("ends")
        axes, steps = n.integers("axes", tuple(range(len(starts)))), (1,) * len(starts)
    else:
        starts, ends = n.known_integers(1, "starts"), n.known_integers(2, "ends")
        axes = n.known_integers(3, "axes") if n.optional(3) else tuple(range(len(starts)))
        steps = n.known_integers(4, "steps") if n.optional(4) else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise n.refuse(
            "starts, ends, axes and steps differ in length, or a step is 0", "one of each per axis, no step 0"
        )
    first, step, size = [0] * len(shape), [1] * len(shape), list(shape)
    for start, end, axis, stride in zip(starts, ends, axes, steps, strict=True):
        a = n.inside(axis, len(shape))
        picked = range(shape[a])[slice(start, end, stride)]
        first[a], step[a], size[a] = (picked.start, stride, len(picked)) if len(picked) else (0, 1, 0)
    if (first, step, size) == ([0] * len(shape), [1] * len(shape), list(shape)):
        return x
    return g.emit(Slice(tuple(first), tuple(step), tuple(size)), x)


def expand(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    shape = shape_input(n, 1, "the shape") or n.declared() or ()
    try:
        wanted = np.broadcast_shapes(x.type.static_shape, tuple(shape))
    except ValueError:
        raise n.refuse(f"{list(x.type.shape)} to {list(shape)}", "shapes broadcast") from None
    return expanded(g, x, tuple(int(d) for d in wanted))


def tile(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    shape, declared = x.type.static_shape, n.declared()
    if n.input(1).data is None and declared is not None:
        if len(declared) != len(shape) or any(d % s for d, s in zip(declared, shape, strict=True) if s):
            raise n.refuse(f"{list(shape)} to {list(declared)}", "each axis is repeated a whole number of times")
        repeats = tuple(d // s if s else 1 for d, s in zip(declared, shape, strict=True))
    else:
        repeats = n.known_integers(1, "repeats")
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise n.refuse(f"repeats {list(repeats)}", "one count per axis")
    split = [d for pair in ((1, s) for s in shape) for d in pair]
    wide = [d for pair in zip(repeats, shape, strict=True) for d in pair]
    y = expanded(g, reshaped(g, x, split), tuple(wide))
    return reshaped(g, y, [r * s for r, s in zip(repeats, shape, strict=True)])


def taken(g: Importer, x: Value, axis: int, indices: Array) -> Value:
    """Rows along an axis at constant places."""
    return g.emit(Gather(axis), x, g.const(indices, I64))


def pad(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    shape, mode = x.type.static_shape, n.text("mode", "constant")
    pads = n.integers("pads") if "pads" in n.attributes else n.known_integers(1, "pads")
    axes = tuple(range(len(shape)))
    if n.optional(3) is not None:
        axes = tuple(n.inside(a, len(shape)) for a in n.known_integers(3, "axes"))
    if len(pads) != 2 * len(axes):
        raise n.refuse(f"{len(pads)} pads for {len(axes)} axes", "one pad before and one after each axis")
    value: float | int = n.real("value", finite=False)
    if n.version >= 11 and n.optional(2) is not None:
        value = n.known(2, "the value").reshape(-1)[0].item()
    before, after = [0] * len(shape), [0] * len(shape)
    for i, a in enumerate(axes):
        before[a], after[a] = pads[i], pads[len(axes) + i]
    x = _cropped(g, x, before, after)
    before, after = [max(0, b) for b in before], [max(0, a) for a in after]
    if mode == "constant":
        if not any(before) and not any(after):
            return x
        value = bool(value) if x.type.dtype == BOOL else value if x.type.dtype.is_float else int(value)
        return g.emit(Pad(tuple(before), tuple(after), value), x)
    if mode not in ("reflect", "edge", "wrap"):
        raise n.refuse(f"padding mode {mode}", "the mode is constant, reflect, edge or wrap")
    for a, (b, e) in enumerate(zip(before, after, strict=True)):
        if b or e:
            places = np.pad(np.arange(x.type.static_shape[a]), (b, e), mode=mode)  # type: ignore[call-overload]
            x = taken(g, x, a, places)
    return x


def _cropped(g: Importer, x: Value, before: Sequence[int], after: Sequence[int]) -> Value:
    """Negative pads cut."""
    for a, (b, e) in enumerate(zip(before, after, strict=True)):
        start, stop = max(0, -b), x.type.static_shape[a] - max(0, -e)
        x = sliced(g, x, a, start, max(0, stop - start))
    return x


def gather(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    return g.emit(Gather(n.axis(0, x.type.rank)), x, n.input(1))


def gather_elements(g: Importer, n: OnnxNode) -> Results:
    return g.emit(GatherElements(n.axis(0, n.input(0).type.rank)), n.input(0), n.input(1))


def gather_nd(g: Importer, n: OnnxNode) -> Results:
    return g.emit(GatherND(n.integer("batch_dims")), n.input(0), n.input(1))


def scatter_elements(g: Importer, n: OnnxNode) -> Results:
    axis = n.axis(0, n.input(0).type.rank)
    return g.emit(Scatter(axis, n.text("reduction", "none")), n.input(0), n.input(1), n.input(2))


def scatter_nd(g: Importer, n: OnnxNode) -> Results:
    return g.emit(Scatter(None, n.text("reduction", "none")), n.input(0), n.input(1), n.input(2))


def top_k(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    axis = n.axis(-1, x.type.rank)
    declared = n.declared()
    if n.version < 10:
        k = n.integer("k")
    elif n.input(1).data is None and declared is not None and len(declared) == x.type.rank:
        k = declared[axis]
    else:
        k = n.known_integers(1, "k")[0]
    return g.emit_all(TopK(axis, k, bool(n.integer("largest", 1))), x)


def one_hot(g: Importer, n: OnnxNode) -> Results:
    """Equality of the wrapped indices with 0 .. depth - 1 along a new axis."""
    indices, values, declared = n.input(0), n.input(2), n.declared()
    axis = n.inside(n.integer("axis", -1), indices.type.rank + 1)
    if n.input(1).data is None and declared is not None and len(declared) == indices.type.rank + 1:
        depth = declared[axis]
    else:
        depth = int(n.known(1, "the depth").reshape(-1)[0])
    if depth < 1 or depth > 1 << 24:
        raise n.refuse(f"depth {depth}", "the depth is positive")
    wide = indices if indices.type.dtype == I64 else g.emit(Cast(I64), indices)
    wide = g.emit(
        Select(), g.emit(Binary("lt"), wide, g.like(wide, 0)), g.emit(Binary("add"), wide, g.like(wide, depth)), wide
    )
    shape = indices.type.static_shape
    column = reshaped(g, wide, (*shape[:axis], 1, *shape[axis:]))
    places = g.const(np.arange(depth).reshape([depth if a == axis else 1 for a in range(len(shape) + 1)]), I64)
    hot = g.emit(Binary("eq"), column, places)
    off, on = (reshaped(g, sliced(g, values, 0, i, 1), ()) for i in range(2))
    return g.emit(Select(), hot, on, off)


def trilu(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    k = n.known_integers(1, "k")[0] if n.optional(1) is not None else 0
    rows, cols = x.type.static_shape[-2:]
    kept = np.triu(np.ones((rows, cols), bool), k) if n.integer("upper", 1) else np.tril(np.ones((rows, cols), bool), k)
    return g.emit(Select(), g.const(kept, BOOL), x, g.like(x, 0))


def eye_like(g: Importer, n: OnnxNode) -> Results:
    rows, cols = n.matrix()
    code = n.attribute("dtype")
    dtype = n.input(0).type.dtype if code is None else ELEMENT_TYPES.get(int(code), F32)
    return g.const(np.eye(rows, cols, n.integer("k")).astype(dtype.numpy), dtype)


def range_(g: Importer, n: OnnxNode) -> Results:
    start, limit, delta = (n.known(i, what).reshape(-1)[0] for i, what in enumerate(("start", "limit", "delta")))
    if delta == 0 or not abs((limit - start) / delta) < 1 << 26:
        raise n.refuse(f"a range from {start} to {limit} by {delta}", "the step is not 0 and the range is short")
    dtype = n.input(0).type.dtype
    return g.const(np.asarray(np.arange(start, limit, delta)).astype(dtype.numpy), dtype)


def depth_to_space(g: Importer, n: OnnxNode) -> Results:
    b, (batch, c, h, w) = n.integer("blocksize"), n.image()
    if b < 1 or c % (b * b):
        raise n.refuse(f"block size {b} of {c} channels", "channels are a multiple of the block's area")
    if n.text("mode", "DCR") == "DCR":
        split, perm = (batch, b, b, c // (b * b), h, w), (0, 3, 4, 1, 5, 2)
    else:
        split, perm = (batch, c // (b * b), b, b, h, w), (0, 1, 4, 2, 5, 3)
    y = transposed(g, reshaped(g, n.input(0), split), perm)
    return reshaped(g, y, (batch, c // (b * b), h * b, w * b))


def space_to_depth(g: Importer, n: OnnxNode) -> Results:
    b, (batch, c, h, w) = n.integer("blocksize"), n.image()
    if b < 1 or h % b or w % b:
        raise n.refuse(f"block size {b} of {h}x{w}", "height and width are multiples of the block")
    y = transposed(g, reshaped(g, n.input(0), (batch, c, h // b, b, w // b, b)), (0, 3, 5, 1, 2, 4))
    return reshaped(g, y, (batch, c * b * b, h // b, w // b))


def reverse_sequence(g: Importer, n: OnnxNode) -> Results:
    x, lengths = n.input(0), n.known_integers(1, "sequence lengths")
    batch_axis, time_axis = n.axis(1, x.type.rank, "batch_axis"), n.axis(0, x.type.rank, "time_axis")
    rows = [sliced(g, x, batch_axis, i, 1) for i in range(x.type.static_shape[batch_axis])]
    turned = [
        taken(g, row, time_axis, np.r_[np.arange(size)[::-1], np.arange(size, row.type.static_shape[time_axis])])
        for row, size in zip(rows, lengths, strict=True)
    ]
    return joined(g, turned, batch_axis)


def weighted(g: Importer, x: Value, axis: int, matrix: Array) -> Value:
    """y[.., o, ..] = sum over i of matrix[o, i] x[.., i, ..]: a linear map along one axis."""
    rank = x.type.rank
    perm = [a for a in range(rank) if a != axis] + [axis]
    last = transposed(g, x, perm)
    y = g.emit(Linear(), last, g.const(np.ascontiguousarray(matrix, x.type.dtype.numpy), x.type.dtype))
    return transposed(g, y, [perm.index(a) for a in range(rank)])


SHAPE: dict[str, Converter] = {
    "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Transpose": transpose,
    "Shape": shape_of, "Size": size_of, "Constant": constant, "ConstantOfShape": constant_of_shape, "Concat": concat,
    "Split": split, "Slice": slice_, "Expand": expand, "Tile": tile, "Pad": pad, "Gather": gather,
    "GatherElements": gather_elements, "GatherND": gather_nd, "ScatterElements": scatter_elements,
    "Scatter": scatter_elements, "ScatterND": scatter_nd, "TopK": top_k, "OneHot": one_hot, "Trilu": trilu,
    "EyeLike": eye_like, "Range": range_, "DepthToSpace": depth_to_space, "SpaceToDepth": space_to_depth,
    "ReverseSequence": reverse_sequence,
}  # fmt: skip
"""Converters by ONNX name."""
