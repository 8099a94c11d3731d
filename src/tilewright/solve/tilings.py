"""The menu of tilings of a node: what each costs in cycles, and in bytes of the scratchpad."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..ir.domain import Box
from ..ir.graph import Graph, Node
from ..ir.op import RuleError
from ..ir.plan import Stream, Tile, Tiled, aligned
from ..ir.regions import box_region
from ..ir.types import Dim, DType, Expr, Kind, Value, maximum
from ..targets.base import Dma, Kernel, Packing, Target
from .menu import growth_of
from .parts import Part, packed_bytes
from .tiles import Piece, Tiling, contiguous, cuttable, first_stored

PARTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 256)  # into how many a dimension is cut
FEW = (4, 8)  # elements of a dimension that small tiles are made of, beside one
MENU = 12  # tilings of a node that are offered at most


def streamed(node: Node, kernel: Kernel, states_near: bool) -> tuple[list[str], list[str]]:
    """Operands that have to be in the scratchpad, apart from what is used where it is: (others, constants)."""
    others, constants = [], []
    for name, value in node.operands.items():
        if name in kernel.direct or name in node.op.aliases:
            continue
        if value.kind is Kind.CONST:
            constants.append(name)
        elif value.kind is not Kind.STATE or not states_near:
            others.append(name)
    return others, constants


def uncut(node: Node, kernel: Kernel, target: Target, states_near: bool) -> Tiled | None:
    """The node as a whole; None where the kernel cannot run it so."""
    return next(iter(_ways(node, (), kernel, target, states_near)), None)


def menu(node: Node, kernel: Kernel, target: Target, states_near: bool) -> list[Tiled]:
    """Tilings that are worth a thought: fewest cycles first, each cheaper in bytes than those before."""
    room = next(m.bytes for m in target.memories if m.name == target.scratchpad) or 0
    found = [way for tile in _tiles(node) for way in _ways(node, tile, kernel, target, states_near)]
    if not any(way.least <= room for way in found):
        found += [way for tile in _small_tiles(node) for way in _ways(node, tile, kernel, target, states_near)]
    return worthwhile(found)


def worthwhile(found: Sequence[Tiled]) -> list[Tiled]:
    """Fewest cycles first, each cheaper in bytes than those before; what is not cut stays."""
    kept: list[Tiled] = []
    for way in sorted(found, key=lambda way: (way.time(), way.least)):
        if all(way.least < other.least for other in kept):
            kept.append(way)
    if len(kept) > MENU:  # an even choice, the quickest and the smallest among it
        picks = sorted({round(i * (len(kept) - 1) / (MENU - 1)) for i in range(MENU)})
        kept = [kept[i] for i in picks]
    whole = [way for way in found if not way.tile and way not in kept]  # what is near costs its buffers nothing
    return whole + kept


def _tiles(node: Node) -> Iterator[Tile]:
    """No cut, cuts along one dimension, and along two in every order."""
    yield ()
    sizes = _sizes(node)
    for name in sizes:
        yield from (((name, size),) for size in sizes[name])
    some = {name: [*sizes[name][:-1:2], sizes[name][-1]] for name in sizes}
    for first, second in itertools.permutations(sizes, 2):
        yield from (((first, a), (second, b)) for a, b in itertools.product(some[first], some[second]))


def _small_tiles(node: Node) -> Iterator[Tile]:
    """Cuts along three dimensions, each into parts of one element or of a few lanes."""
    sizes = {name: [size for size in sizes if size in FEW or size == sizes[-1]] for name, sizes in _sizes(node).items()}
    for names in itertools.permutations(sizes, 3):
        yield from (tuple(zip(names, pick, strict=True)) for pick in itertools.product(*(sizes[n] for n in names)))


def _sizes(node: Node) -> dict[str, list[int]]:
    """Of the dimensions that can be cut: sizes of parts, largest first."""
    extents = Tiling(node, ()).extents
    sizes: dict[str, list[int]] = {}
    for name in cuttable(node):
        extent = extents[name]
        assert isinstance(extent, int)
        parts = sorted({-(-extent // parts) for parts in PARTS if parts <= extent} - {extent}, reverse=True)
        sizes[name] = list(dict.fromkeys(_even(extent, size) for size in parts))
    return sizes


def _even(extent: int, size: int) -> int:
    """A multiple of 4 where that does not change the number of tiles: lanes and blocks of kernels."""
    rounded = -(-size // 4) * 4
    return rounded if -(-extent // rounded) == -(-extent // size) and rounded < extent else size


@lru_cache(maxsize=2048)
def _kinds(node: Node, tile: Tile) -> tuple[Tiling, list[tuple[int, Piece]]] | None:
    """A node cut by a tile, and its kinds of pieces, the same for all kernels; None where the tile is not legal."""
    try:
        tiling = Tiling(node, tile)
        return tiling, tiling.kinds()
    except RuleError:
        return None


def _ways(node: Node, tile: Tile, kernel: Kernel, target: Target, states_near: bool) -> list[Tiled]:
    """With one buffer per stream, and with two where there is more than one tile; none where the tile is not legal."""
    assert target.dma is not None
    assert target.overhead is not None
    cut = _kinds(node, tile)
    if cut is None:
        return []
    tiling, kinds = cut
    count = len(tiling)
    if any(kernel.misfit(piece.node) or not _reachable(piece, kernel, node, states_near) for _, piece in kinds):
        return []
    engine = target.engine(kernel)
    costs = [kernel.cycles(piece.node) + engine.issue + engine.latency for _, piece in kinds]
    cycles = sum(number * cost for (number, _), cost in zip(kinds, costs, strict=True))
    each = max(aligned(kernel.scratch(piece.node)) for _, piece in kinds)
    others, constants = streamed(node, kernel, states_near)
    streams = []
    for name in others:
        stream = _stream(tiling, name, kernel, kinds, target.dma)
        if stream is None:
            return []
        streams.append(stream)
    bundle = _bundle(tiling, constants, kernel, kinds, target.dma) if constants else None
    growth, around = growth_of(node), count * target.overhead.tile
    found = []
    shares = _shares(kernel, node, target) if each else (0,)
    numbers = [cores or target.cores for cores in shares]
    chunks = [kernel.chunks(piece.node, numbers) for _, piece in kinds] if len(shares) > 1 else []
    for i, cores in enumerate(shares):
        slow = cycles
        if cores:
            busiest = zip(kinds, costs, chunks, strict=True)
            slow = sum(number * cost * chunk[i] / chunk[0] for (number, _), cost, chunk in busiest)
        scratch = each * target.scratches(kernel, node, numbers[i])
        found += [
            Tiled(
                kernel,
                tile,
                n,
                count,
                slow,
                around,
                slow * growth,
                scratch,
                tuple(streams),
                bundle,
                cores,
                aside=engine.asynchronous,
            )
            for n in ((1, 2) if count > 1 else (1,))
        ]
    return found


def _reachable(piece: Piece, kernel: Kernel, node: Node, states_near: bool) -> bool:
    """Whether what is used where it is (looked up, state that is near) can be used there tile by tile.

    Constants that are packed have a slice for each tile.
    """
    return all(
        first_stored(piece.boxes[name], value.type.shape, kernel.packing.get(name)) is not None
        for name, value in node.operands.items()
        if (name in kernel.direct and not (value.kind is Kind.CONST and name in kernel.packing))
        or name in node.op.aliases
        or (value.kind is Kind.STATE and states_near)
    )


def _shares(kernel: Kernel, node: Node, target: Target) -> tuple[int, ...]:
    """How many cores may share a call whose cores have scratch of their own: fewer need less of it. 0: all."""
    if target.scratches(kernel, node, target.cores) == 1:
        return (0,)
    return (0, *(n for n in (4, 2, 1) if n < target.cores))


def reloads(tiling: Tiling, names: Sequence[str]) -> int:
    """How many tiles need other bytes of these operands than the tile before."""
    depends = {term for name in names for axis in tiling.domain.access.get(name, ()) for term, _ in axis.terms}
    inner = 1
    for name, size in reversed(tiling.tile):  # loops inside of the innermost one that matters do not count
        if name in depends:
            break
        inner *= -(-maximum(tiling.extents[name]) // size)
    return len(tiling) // inner


def _stream(tiling: Tiling, name: str, kernel: Kernel, kinds: list[tuple[int, Piece]], dma: Dma) -> Stream | None:
    """None where the operand's packed form cannot be moved in parts."""
    value = tiling.node.operands[name]
    packing = kernel.packing.get(name)
    shape = value.type.shape
    largest, moved, transfers, cycles, issue, near = 0, 0.0, 0.0, 0.0, 0.0, True
    outward = value in tiling.node.outputs
    for number, piece in kinds:
        box, kind = piece.boxes[name], piece.node.operands[name].type
        found = moves(box, shape, kind.dtype, packing)
        if found is None:
            return None
        near = near and packing is None and contiguous(box, shape)
        largest = max(largest, packed_bytes(kind, kernel, name))
        for move in found:
            moved += number * move.blocks * move.lines * move.bytes
            transfers += number * move.blocks
            cycles += number * move.blocks * dma.cycles(move.lines * move.bytes, move.lines, outward=outward)
            issue += number * (dma.issue + (move.blocks - 1) * dma.block)
    share = reloads(tiling, [name]) / len(tiling)
    return Stream(name, largest, moved * share, transfers * share, cycles * share, issue * share, near)


def _static(shape: tuple[Dim, ...]) -> tuple[int, ...]:
    return tuple(maximum(d) for d in shape)


def _bundle(tiling: Tiling, names: Sequence[str], kernel: Kernel, kinds: list[tuple[int, Piece]], dma: Dma) -> Stream:
    largest, moved, cycles = 0, 0.0, 0.0
    for number, piece in kinds:
        size = Part(kernel, piece).constant_bytes
        largest = max(largest, size)
        moved += number * size
        cycles += number * dma.cycles(size)
    times = reloads(tiling, names)
    share = times / len(tiling)
    return Stream("constants", largest, moved * share, times, cycles * share, times * dma.issue, near=False)


@dataclass(frozen=True)
class Move:
    """A transfer of part of a value: its first byte there, and lines and blocks as a `Copy` has them."""

    first: int
    bytes: int
    lines: int = 1
    stride: int = 0
    blocks: int = 1
    apart: int = 0


def moves(box: Box, shape: tuple[Dim, ...], dtype: DType, packing: Packing | None) -> list[Move] | None:
    """Transfers that move a box of a value; None where its packed form has no run for it."""
    extents, size = _static(shape), dtype.bits // 8
    if packing is not None:
        whole = box == tuple((0, extent) for extent in extents)
        part = (0, packing.elements(extents)) if whole else packing.region(box, extents)
        return None if part is None else [Move(part[0] * size, part[1] * size)]
    region = box_region(box, extents, size)
    *outer, (run, _) = zip(region.shape, region.strides, strict=True)
    rest, (blocks, apart), (lines, stride) = outer[:-2], *([(1, 0), (1, 0), *outer][-2:])
    starts = itertools.product(*(range(0, count * step, step) for count, step in rest))
    return [Move(region.first + sum(at), run, lines, stride, blocks, apart) for at in starts]


def root(graph: Graph, value: Value) -> tuple[Value, Dim]:
    """The value whose bytes this one is, seen through views and updates in place, and its first element there."""
    offset: Dim = 0
    value = graph.storage(value)
    while (node := graph.producers.get(value)) is not None and node.op.view:
        assert node.inputs[0] is not None
        offset = (Expr.of(offset) + node.op.offset(*node.types)).simplified()
        value = graph.storage(node.inputs[0])
    return value, offset
