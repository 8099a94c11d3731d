"""One node on two engines at once: an asynchronous one has the last outputs, the cores have those before.

Of what is one operator for the cores, a product and what follows it, the engine has some of the product; the cores then
do for these outputs what follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..ir.graph import Node
from ..ir.op import RuleError
from ..ir.plan import Partner, Stream, Tiled
from ..ir.types import Kind
from ..targets.base import Kernel, Split, Target
from .menu import growth_of
from .parts import Part, between, shared, steps_of, steps_with
from .tiles import Tiling, first_stored
from .tilings import uncut

COARSE = 8  # into how many parts a dimension is cut, beside where both engines end together


def mates(node: Node, target: Target) -> tuple[Kernel, ...]:
    """Kernels of asynchronous engines that can run a node, or a product in it."""
    products = [steps.product for steps in steps_of(node)] or [node]
    return tuple(kernel for product in products for kernel in target.beside(product))


def product_of(node: Node, kernel: Kernel) -> Node:
    """What a kernel of an asynchronous engine may have of a node, or some of."""
    steps = steps_with(node, kernel)
    return node if steps is None else steps.product


def together(
    node: Node, kernel: Kernel, others: Sequence[Kernel], like: Sequence[Node], target: Target, states_near: bool
) -> list[Tiled]:  # fmt: skip
    """Ways to share the node between the cores and one of the others; `like`: nodes that do as this one.

    On the cores it runs by its kernel, or by one that wants constants as this one does but is quicker with less.
    """
    found = []
    for own in _alike(node, kernel, target) if others else ():
        whole = uncut(node, own, target, states_near)
        if whole is None or whole.constants is None:
            continue
        for other in others:
            split = other.split(product_of(node, other))
            if split is not None and len(split.dims) == 1:
                pairs = _Pairs(node, like, whole, other, target, split)
                found += [way for size in pairs.sizes() if (way := pairs.way(size)) is not None]
    return found


def _alike(node: Node, kernel: Kernel, target: Target) -> list[Kernel]:
    """Kernels of the cores that want operands as this one does."""
    if not steps_of(node):
        return [kernel]
    return [k for k in target.candidates(node) if all(k.layout(n) == kernel.layout(n) for n in node.operands)]


class _Pairs:
    """The node's whole on the cores, less what another kernel takes."""

    def __init__(
        self, node: Node, like: Sequence[Node], whole: Tiled, other: Kernel, target: Target, split: Split
    ) -> None:  # fmt: skip
        self.node, self.like, self.whole, self.other, self.target = node, like, whole, other, target
        (self._dim,), self._unit = split.dims, split.unit
        self.known: dict[int, tuple[Part, ...] | None] = {}

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

    def parts(self, size: int) -> tuple[Part, ...] | None:
        """The other kernel's, the cores', and what they do at the end, if anything.

        None where a kernel cannot do its part, or the other's results do not lie side by side.
        """
        if size not in self.known:
            try:
                self.known[size] = self._parts(size)
            except RuleError:
                self.known[size] = None
        return self.known[size]

    def _parts(self, size: int) -> tuple[Part, ...] | None:
        partner = Partner(self.other, self._dim, size)
        each = [shared(node, self.whole.kernel, partner) for node in self.like]
        theirs, rest = each[self.like.index(self.node)]
        steps = steps_with(theirs.piece.node, self.other)
        ends = () if steps is None else self.target.candidates(steps.rest)
        then = min(ends, key=lambda kernel: kernel.cycles(steps.rest) if steps else 0.0, default=None)
        products = [product_of(theirs.piece.node, self.other) for theirs, _ in each]
        if any(map(self.other.misfit, products)) or self.whole.kernel.misfit(rest.piece.node):
            return None
        pieces = theirs.piece, rest.piece
        moving = [(n, v) for n, v in self.node.operands.items() if v.kind is not Kind.CONST]
        if any(first_stored(piece.boxes[n], v.type.shape, None) is None for piece in pieces for n, v in moving):
            return None
        return shared(self.node, self.whole.kernel, replace(partner, kernel=self.other.bound(products), then=then))

    def times(self, size: int) -> tuple[float, float] | None:
        """Cycles until the other kernel is done, and the cores are."""
        if (parts := self.parts(size)) is None:
            return None
        engine = self.target.engine(self.other)
        _, rest = self._late(size)
        return engine.issue + parts[0].kernel.cycles(parts[0].piece.node) * engine.beside + engine.latency, rest

    def _late(self, size: int) -> tuple[int, float]:
        """How many units core 0 has less, so that all cores end together, and when they do."""
        parts = self.parts(size)
        assert parts is not None
        engine, kernel, rest = self.target.engine(self.other), parts[1].kernel, parts[1].piece.node
        jobs = parts[0].kernel.jobs(parts[0].piece.node)
        busy = engine.issue + jobs * engine.describe + engine.latency  # of core 0: it describes the next call, too
        cycles, split = kernel.cycles(rest), kernel.split(rest)
        if split is None:
            return 0, busy + cycles
        (alone,) = kernel.chunks(rest, [1])
        units, each, cores = alone // split.unit, self._each(size) * split.unit, self.target.cores

        def end(late: int) -> float:
            """When the last core is done."""
            share = -(-(units + late) // cores)
            others = cycles + (share - -(-units // cores)) * each
            return max(others, busy + (others - late * each if late < share else 0.0))

        late = min(range(-(-units // cores) + 2), key=end)
        return late, end(late)

    def _each(self, size: int) -> float:
        """Cycles that one more index costs the busiest core."""
        step, points = -(-self.target.cores // self._unit) * self._unit, []
        for parts in filter(None, (self.parts(size), self.parts(max(self._unit, size - step)))):
            kernel, rest = parts[1].kernel, parts[1].piece.node
            points.append((kernel.chunks(rest, [self.target.cores])[0], kernel.cycles(rest)))
        (few, low), (many, high) = points[0], points[-1]
        return (high - low) / (many - few) if many > few else low / few

    def _end(self, parts: Sequence[Part]) -> float:
        """Cycles of what the cores do once both are done."""
        assert self.target.overhead is not None
        overhead = self.target.overhead
        return sum(overhead.barrier + overhead.phase + p.kernel.cycles(p.piece.node) for p in parts[2:])

    def way(self, size: int) -> Tiled | None:
        parts, times = self.parts(size), self.times(size)
        if parts is None or times is None:
            return None
        assert self.target.dma is not None
        cycles, (late, _) = max(times) + self._end(parts), self._late(size)
        bytes_ = sum(part.constant_bytes for part in parts)
        dma = self.target.dma
        constants = Stream("constants", bytes_, bytes_, 1, dma.cycles(bytes_), dma.issue, near=False)
        then = parts[2].kernel if parts[2:] else None
        return replace(
            self.whole, cycles=cycles, worst_cycles=cycles * growth_of(self.node), constants=constants,
            partner=Partner(parts[0].kernel, self._dim, size, late, then, between(parts)), aside=True,
        )  # fmt: skip


def least(node: Node, others: Sequence[Kernel], target: Target) -> Tiled | None:
    """The quickest way to share a node with one of these, everything near; None where there is none."""
    kernel = min(target.candidates(node), key=lambda kernel: kernel.cycles(node))
    found = together(node, kernel, others, [node], target, states_near=True)
    return min(found, key=lambda way: way.cycles, default=None)
