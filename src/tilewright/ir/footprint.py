"""Which bytes of its operands each core touches when cores share a call: derived from the operator's access maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..targets.base import Kernel, Packing
from .domain import Box
from .graph import Node
from .plan import aligned
from .program import Call, Share
from .regions import Region, mask_regions, run
from .types import Array, Dim, DType, Expr, maximum, resolve, shape_of

SEVERAL = -1  # in place of a core: more than one of the cores
Touched = list[tuple[int, Region]]  # (core or SEVERAL, bytes from the operand's first)


def flat_boxes(first: int, stop: int, extents: Sequence[int]) -> list[Box]:
    """Disjoint boxes that are together the indices first .. stop of a row-major flat index."""
    if first >= stop:
        return []
    if not extents:
        return [()]
    head, rest = 0, tuple(extents[1:])
    inner = math.prod(rest)
    (head, skip), (tail, left) = divmod(first, inner), divmod(stop, inner)
    if head == tail:
        return [((head, head + 1), *box) for box in flat_boxes(skip, left, rest)]
    found: list[Box] = []
    if skip:
        found += [((head, head + 1), *box) for box in flat_boxes(skip, inner, rest)]
        head += 1
    if head < tail:
        found.append(((head, tail), *((0, extent) for extent in rest)))
    return found + [((tail, tail + 1), *box) for box in flat_boxes(0, left, rest)]


def core_boxes(call: Call, share: Share | None, cores: int, env: Mapping[str, int]) -> list[dict[str, list[Box]]]:
    """Per core, the boxes of every operand that its share touches; the whole operand where the domain cannot tell.

    Without a share: one core does it all. ValueError where the share's total is not that of its dimensions.
    """
    node = call.semantics
    domain = node.op.domain(*node.types)
    shapes = {name: shape_of(kind, env) for name, kind in call.types().items()}
    symbolic = {name: kind.shape for name, kind in call.types().items()}
    extents = {name: resolve(extent, env) for name, extent in domain.extents(symbolic).items()}
    whole = {name: (0, extent) for name, extent in extents.items()}
    known = share is not None and share.dims and set(share.dims) <= set(domain.parallel)
    known = known and not call.kernel.meets
    if share is None or not known:
        tiles: list[list[Box]] = [[()]] * (1 if share is None else cores)
        dims: tuple[str, ...] = ()
    else:
        dims, sizes = share.dims, [extents[d] for d in share.dims]
        total = resolve(share.total, env)
        if total != math.prod(sizes):
            raise ValueError(f"{node!r}: {total} indices are shared, {' '.join(dims)} have {math.prod(sizes)}")
        tiles = [flat_boxes(*share.range_of(core, cores, total), sizes) for core in range(cores)]
    touched: list[dict[str, list[Box]]] = []
    for tile in tiles:
        of: dict[str, list[Box]] = {name: [] for name in shapes}
        for part in tile:
            ranges = whole | dict(zip(dims, part, strict=True))
            if any(first >= stop for first, stop in ranges.values()):
                continue
            for name, shape in shapes.items():
                box = domain.footprint(name, ranges, shape) if name in domain.access else whole_box(shape)
                of[name].append(tuple((max(a, 0), min(b, n)) for (a, b), n in zip(box, shape, strict=True)))
        touched.append({n: [b for b in dict.fromkeys(bs) if all(x < y for x, y in b)] for n, bs in of.items()})
    return touched


def whole_box(shape: tuple[int, ...]) -> Box:
    return tuple((0, n) for n in shape)


def packed_regions(packing: Packing, box: Box, shape: tuple[int, ...], dtype: DType, itemsize: int) -> list[Region]:
    """Where a box lies in the packed form: pack a tensor whose bits are set in the box, and see which elements are."""
    marked = np.zeros(shape, dtype.numpy)
    marked[tuple(slice(*axis) for axis in box)] = -1 if dtype.is_signed else dtype.high
    return list(mask_regions(packing.pack(marked).reshape(-1) != 0, itemsize))


def merged(per_core: Sequence[Sequence[Region]]) -> Touched:
    """Regions with the core that touches them; what several touch alike is said once."""
    users: dict[Region, int] = {}
    for core, regions in enumerate(per_core):
        for region in regions:
            users[region] = SEVERAL if users.get(region, core) != core else core
    return [(core, region) for region, core in users.items()]


def written(per_core: Sequence[Sequence[Region]], size: int) -> Touched:
    """Regions that each core writes; where cores' regions meet, nobody knows who writes what of the `size` bytes."""
    if len(per_core) == 1:
        return [(0, run("", 0, size))]
    owner: Array = np.zeros(size, np.uint8)
    for core, regions in enumerate(per_core):
        for region in regions:
            part = region.view(owner)
            if np.any((part != 0) & (part != core + 1)):
                return [(SEVERAL, run("", 0, size))]
            part[...] = core + 1
    return [(core, region) for core, regions in enumerate(per_core) for region in regions]


def share_of(kernel: Kernel, node: Node, cores: int, late: int = 0) -> Share | None:
    """How the cores (0: all) share a call of the kernel, where core 0 has `late` units less."""
    split = kernel.split(node)
    if split is None:
        return None
    shapes = {name: value.type.shape for name, value in node.operands.items()}
    extents = node.op.domain(*node.types).extents(shapes)
    total: Dim = 1
    for name in split.dims:
        total = product(total, extents[name])
    unit = aligned(-(-maximum(total) // cores), split.unit) if cores else split.unit
    return Share(total, unit, split.dims, cores, late)


def product(a: Dim, b: Dim) -> Dim:
    """Of two dimensions, one of which is a number."""
    if isinstance(b, int):
        return (Expr.of(a) * b).simplified()
    assert isinstance(a, int), "only one run-time dimension is shared out"
    return (Expr.of(b) * a).simplified()
