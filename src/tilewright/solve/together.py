"""One node on two engines at once: an asynchronous one has the last outputs, the cores have those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..ir.graph import Node
from ..ir.op import RuleError
from ..ir.plan import Partner, Stream, Tiled
from ..ir.types import Kind
from ..targets.base import Kernel, Split, Target
from .menu import growth_of
from .parts import Part, halves
from .tiles import Tiling, first_stored
from .tilings import uncut

COARSE = 8  # into how many parts a dimension is cut, beside where both engines end together


def together(
    node: Node, kernel: Kernel, others: Sequence[Kernel], like: Sequence[Node], target: Target, states_near: bool
) -> list[Tiled]:  # fmt: skip
    """Ways to share the node between its kernel on the cores and one of others; `like`: nodes that do as this one."""
    whole = uncut(node, kernel, target, states_near)
    if whole is None or whole.constants is None:
        return []
    found = []
    for other in others:
        split = other.split(node)
        if split is None or len(split.dims) != 1:
            continue
        pairs = _Pairs(node, like, whole, other, target, split)
        found += [way for size in pairs.sizes() if (way := pairs.way(size)) is not None]
    return found


class _Pairs:
    """The node's whole on the cores, less what another kernel takes."""

    def __init__(
        self, node: Node, like: Sequence[Node], whole: Tiled, other: Kernel, target: Target, split: Split
    ) -> None:  # fmt: skip
        self.node, self.like, self.whole, self.other, self.target = node, like, whole, other, target
        (self._dim,), self._unit = split.dims, split.unit
        self.known: dict[int, tuple[Part, Part] | None] = {}

    def sizes(self) -> Iterator[int]:
        """Sizes of the other kernel's part: a few, and those between which both take the same time."""
        extent = Tiling(self.node, ()).extents[self._dim]
        if not isinstance(extent, int) or extent <= self._unit:
            return
        most = (extent - 1) // self._unit
        low, high = 1, most
        while high - low > 1:
            middle = (low + high) // 2
            times = self.times(middle * self._unit)
            low, high = (middle, high) if times is not None and times[0] < times[1] else (low, middle)
        coarse = {round(i * most / COARSE) for i in range(1, COARSE)} - {0}
        yield from (number * self._unit for number in sorted({low, high, *coarse}))

    def parts(self, size: int) -> tuple[Part, Part] | None:
        """Both parts; None where a kernel cannot do its own, or the other's results do not lie side by side."""
        if size not in self.known:
            self.known[size] = self._parts(size)
        return self.known[size]

    def _parts(self, size: int) -> tuple[Part, Part] | None:
        try:
            pairs = [halves(node, Partner(self.other, self._dim, size)) for node in self.like]
        except RuleError:
            return None
        theirs, rest = pairs[self.like.index(self.node)]
        if any(self.other.misfit(piece.node) for piece, _ in pairs) or self.whole.kernel.misfit(rest.node):
            return None
        pair = Part(self.other.bound([piece.node for piece, _ in pairs]), theirs), Part(self.whole.kernel, rest)
        moving = [(n, v) for n, v in self.node.operands.items() if v.kind is not Kind.CONST]
        dense = all(first_stored(p.piece.boxes[n], v.type.shape, None) is not None for p in pair for n, v in moving)
        return pair if dense else None

    def times(self, size: int) -> tuple[float, float] | None:
        """Cycles until the other kernel is done, and the cores are."""
        if (pair := self.parts(size)) is None:
            return None
        engine = self.target.engine(self.other)
        _, rest = self._late(size)
        return engine.issue + pair[0].kernel.cycles(pair[0].piece.node) * engine.beside + engine.latency, rest

    def _late(self, size: int) -> tuple[int, float]:
        """How many units core 0 has less, so that all cores end together, and when they do."""
        pair = self.parts(size)
        assert pair is not None
        engine, kernel, rest = self.target.engine(self.other), pair[1].kernel, pair[1].piece.node
        jobs = pair[0].kernel.jobs(pair[0].piece.node)
        busy = engine.issue + jobs * engine.describe + engine.latency  # of core 0: it describes the next call, too
        cycles, split = kernel.cycles(rest), kernel.split(rest)
        if split is None:
            return 0, busy + cycles
        (chunk,) = kernel.chunks(rest, [self.target.cores])
        units, each = chunk // split.unit, self._each(size) * split.unit
        late = min(units, round(busy / each)) if each else 0
        more = -(-late // self.target.cores)  # units, of every other core
        return late, max(cycles + more * each, busy + cycles + (more - late) * each)

    def _each(self, size: int) -> float:
        """Cycles that one more index costs the busiest core."""
        points = []
        for pair in filter(None, (self.parts(size), self.parts(self._unit))):
            kernel, rest = pair[1].kernel, pair[1].piece.node
            points.append((kernel.chunks(rest, [self.target.cores])[0], kernel.cycles(rest)))
        (few, low), (many, high) = points[0], points[-1]
        return (high - low) / (many - few) if many > few else low / few

    def way(self, size: int) -> Tiled | None:
        pair, times = self.parts(size), self.times(size)
        if pair is None or times is None:
            return None
        assert self.target.dma is not None
        cycles, (late, _) = max(times), self._late(size)
        bytes_ = sum(part.constant_bytes for part in pair)
        dma = self.target.dma
        constants = Stream("constants", bytes_, bytes_, 1, dma.cycles(bytes_), dma.issue, near=False)
        return replace(
            self.whole, cycles=cycles, worst_cycles=cycles * growth_of(self.node), constants=constants,
            partner=Partner(pair[0].kernel, self._dim, size, late), aside=True,
        )  # fmt: skip
