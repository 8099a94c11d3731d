"""Operators that address by values: gather, scatter, the largest elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I32, I64, Array, TensorType
from .common import dims, present, shape_strategy, static, whole

_INDEX_RULE = "indices are i32 or i64"


def _indices(kind: TensorType) -> None:
    require(kind.dtype in (I32, I64), _INDEX_RULE)


def _inside(indices: Array, extent: int) -> Array:
    """Negative indices count from the end; what is still outside is clamped, so that nothing reads astray."""
    wide = indices.astype(np.int64)
    return np.clip(np.where(wide < 0, wide + extent, wide), 0, max(extent - 1, 0))


@dataclass(frozen=True)
class Gather(Op):
    """y[l.., j.., r..] = x[l.., indices[j..], r..]: rows of x along an axis, chosen at run time."""

    axis: int = 0
    operands = ("x", "indices")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, indices = present(types)
        _indices(indices)
        require(0 <= self.axis < x.rank, "the axis is one of the operand's")
        require(static(x.shape)[self.axis] > 0, "there is something to gather from")
        return (x.with_shape((*x.shape[: self.axis], *indices.shape, *x.shape[self.axis + 1 :])),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, indices = present(types[:2])
        left, middle, right = dims(self.axis, "l"), dims(indices.rank, "j"), dims(x.rank - self.axis - 1, "r")
        maps = {"x": ", ".join([*left, "*", *right]), "indices": ", ".join(middle)}
        names = [*left, *middle, *right]
        return Domain.of(" ".join(names), {**maps, "y": ", ".join(names)}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, indices = present(arrays)
        return np.asarray(np.take(x, _inside(indices, x.shape[self.axis]), self.axis))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, max_rank=3)
        indices = TensorType(shape_strategy(draw, min_rank=0, max_rank=2, high=4), draw(st.sampled_from([I32, I64])))
        return cls(draw(st.integers(0, len(shape) - 1))), (TensorType(shape, F32), indices)


@dataclass(frozen=True)
class GatherElements(Op):
    """y[i] = x[i with coordinate `axis` replaced by indices[i]]."""

    axis: int = 0
    operands = ("x", "indices")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, indices = present(types)
        _indices(indices)
        require(x.rank == indices.rank and 0 <= self.axis < x.rank, "indices have the rank of the operand")
        pairs = enumerate(zip(static(indices.shape), static(x.shape), strict=True))
        fits = all(axis == self.axis or j <= d for axis, (j, d) in pairs)
        require(fits, "indices are no larger than the operand, except along the axis")
        return (x.with_shape(indices.shape),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        source = ", ".join("*" if axis == self.axis else n for axis, n in enumerate(names))
        text = ", ".join(names)
        return Domain.of(" ".join(names), {"indices": text, "x": source, "y": text}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, indices = present(arrays)
        cut = tuple(slice(None) if a == self.axis else slice(n) for a, n in enumerate(indices.shape))
        return np.take_along_axis(x[cut], _inside(indices, x.shape[self.axis]), self.axis)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, max_rank=3)
        axis = draw(st.integers(0, len(shape) - 1))
        picked = tuple(draw(st.integers(1, 5)) if a == axis else draw(st.integers(1, d)) for a, d in enumerate(shape))
        return cls(axis), (TensorType(shape, F32), TensorType(picked, I64))


@dataclass(frozen=True)
class GatherND(Op):
    """y[b.., j..] = x[b.., indices[b.., j.., :], ...]: `batch` leading axes in step, the last of indices is a tuple."""

    batch: int = 0
    operands = ("x", "indices")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, indices = present(types)
        _indices(indices)
        require(indices.rank >= 1 and self.batch < min(x.rank, indices.rank), "indices have a last axis of coordinates")
        depth = static(indices.shape)[-1]
        require(0 < depth <= x.rank - self.batch, "coordinates name axes of the operand")
        require(x.shape[: self.batch] == indices.shape[: self.batch], "batch axes agree")
        return (x.with_shape((*indices.shape[:-1], *x.shape[self.batch + depth :])),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("", whole(types, ["x", "indices", "y"]), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, indices = present(arrays)
        depth, lead = indices.shape[-1], x.shape[: self.batch]
        inner = x.shape[self.batch :]
        flat = x.reshape(-1, *inner)
        picks = indices.reshape(flat.shape[0], -1, depth)
        rows = [flat[b][tuple(_inside(picks[b, :, k], inner[k]) for k in range(depth))] for b in range(flat.shape[0])]
        shape = (*lead, *indices.shape[self.batch : -1], *inner[depth:])
        return np.asarray(np.stack(rows)).reshape(shape) if rows else np.zeros(shape, x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, max_rank=3)
        batch = draw(st.integers(0, len(shape) - 1))
        depth = draw(st.integers(1, len(shape) - batch))
        return cls(batch), (TensorType(shape, F32), TensorType((*shape[:batch], draw(st.integers(1, 4)), depth), I64))


_REDUCTIONS = {"none": None, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@dataclass(frozen=True)
class Scatter(Op):
    """x with updates written at the places that indices name, in order, combined by `reduction`.

    `axis` None: ScatterND, the last axis of indices holds coordinates. Otherwise ScatterElements along that axis.
    """

    axis: int | None = None
    reduction: str = "none"
    operands = ("x", "indices", "updates")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, indices, updates = present(types)
        _indices(indices)
        require(x.dtype == updates.dtype, "updates have the operand's element type")
        require(self.reduction in _REDUCTIONS, f"the reduction is one of {', '.join(_REDUCTIONS)}")
        if self.axis is None:
            depth = static(indices.shape)[-1] if indices.rank else 0
            require(0 < depth <= x.rank, "coordinates name axes of the operand")
            wanted = (*indices.shape[:-1], *x.shape[depth:])
            require(updates.shape == wanted, f"updates have shape {list(wanted)}, not {list(updates.shape)}")
        else:
            require(x.rank == indices.rank and 0 <= self.axis < x.rank, "indices have the rank of the operand")
            require(indices.shape == updates.shape, "one update per index")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("", whole(types, ["x", "indices", "updates", "y"]), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, indices, updates = present(arrays)
        y = np.array(x)
        combine = _REDUCTIONS[self.reduction]
        if self.axis is None:
            coordinates = indices.reshape(-1, indices.shape[-1])
            rows = updates.reshape(len(coordinates), *x.shape[indices.shape[-1] :])
            places = [tuple(int(_inside(c, x.shape[k])) for k, c in enumerate(row)) for row in coordinates]
        else:
            rows = updates.reshape(-1)
            flat = _inside(indices, x.shape[self.axis]).reshape(-1)
            places = [
                (*where[: self.axis], int(flat[i]), *where[self.axis + 1 :])
                for i, where in enumerate(np.ndindex(indices.shape))
            ]
        for place, row in zip(places, rows, strict=True):
            y[place] = row if combine is None else combine(y[place], row)
        return y

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, max_rank=3)
        reduction = draw(st.sampled_from(sorted(_REDUCTIONS)))
        x = TensorType(shape, F32)
        if draw(st.booleans()):
            axis = draw(st.integers(0, len(shape) - 1))
            picked = tuple(draw(st.integers(1, d)) for d in shape)
            return cls(axis, reduction), (x, TensorType(picked, I64), TensorType(picked, F32))
        count, depth = draw(st.integers(1, 4)), draw(st.integers(1, len(shape)))
        return cls(None, reduction), (x, TensorType((count, depth), I64), TensorType((count, *shape[depth:]), F32))


@dataclass(frozen=True)
class TopK(Op):
    """The k largest (or smallest) along an axis, in order, and where they were; ties: the lower index first."""

    axis: int = -1
    k: int = 1
    largest: bool = True
    operands = ("x",)
    results = ("y", "indices")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(0 <= self.axis < x.rank, "the axis is one of the operand's")
        require(0 < self.k <= static(x.shape)[self.axis], "k is at least 1 and at most the extent of the axis")
        shape = (*x.shape[: self.axis], self.k, *x.shape[self.axis + 1 :])
        return x.with_shape(shape), TensorType(shape, I64)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        text = ", ".join("*" if axis == self.axis else n for axis, n in enumerate(names))
        kept = " ".join(n for axis, n in enumerate(names) if axis != self.axis)
        return Domain.of(kept, dict.fromkeys(("x", "y", "indices"), text), macs=0)

    def reference(self, *arrays: Array | None) -> tuple[Array, ...]:
        (x,) = present(arrays)
        if self.largest:  # a stable descending order: reverse, sort, reverse
            order = (
                x.shape[self.axis] - 1 - np.flip(np.argsort(np.flip(x, self.axis), self.axis, kind="stable"), self.axis)
            )
        else:
            order = np.argsort(x, self.axis, kind="stable")
        order = np.take(order, np.arange(self.k), self.axis)
        return np.take_along_axis(x, order, self.axis), order.astype(np.int64)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, max_rank=3)
        axis = draw(st.integers(0, len(shape) - 1))
        return cls(axis, draw(st.integers(1, shape[axis])), draw(st.booleans())), (TensorType(shape, F32),)
