"""One node on two engines at once: an asynchronous one has the last outputs, the cores have those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..ir.graph import Node
from ..ir.op import RuleError
from ..ir.plan import Partner, Stream, Tiled
from ..ir.types import Kind
from ..targets.base import Kernel, Target
from .menu import growth_of
from .parts import Part, halves
from .tiles import Tiling, first_stored
from .tilings import uncut

COARSE = 8  # into how many parts a dimension is cut, beside where both engines end together


def together(
    node: Node, kernel: Kernel, like: Sequence[Node], target: Target, states_near: bool
) -> list[Tiled]:  # fmt: skip
    """Ways to share the node between its kernel on the cores and one beside them; `like`: nodes that do as this one."""
    whole = uncut(node, kernel, target, states_near)
    if whole is None or whole.constants is None:
        return []
    found = []
    for other in target.beside(node):
        pairs = _Pairs(node, like, whole, other, target)
        found += [way for size in pairs.sizes() if (way := pairs.way(size)) is not None]
    return found


class _Pairs:
    """The node's whole on the cores, less what another kernel takes."""

    def __init__(self, node: Node, like: Sequence[Node], whole: Tiled, other: Kernel, target: Target) -> None:
        self.node, self.like, self.whole, self.other, self.target = node, like, whole, other, target
        self.known: dict[int, tuple[Part, Part] | None] = {}

    def sizes(self) -> Iterator[int]:
        """Sizes of the other kernel's part: a few, and those between which both take the same time."""
        split = self.other.split(self.node)
        if split is None or len(split.dims) != 1:
            return
        extent = Tiling(self.node, ()).extents[split.dims[0]]
        if not isinstance(extent, int) or extent <= split.unit:
            return
        most = (extent - 1) // split.unit
        low, high = 1, most
        while high - low > 1:
            middle = (low + high) // 2
            times = self.times(middle * split.unit)
            low, high = (middle, high) if times is not None and times[0] < times[1] else (low, middle)
        coarse = {round(i * most / COARSE) for i in range(1, COARSE)} - {0}
        yield from (number * split.unit for number in sorted({low, high, *coarse}))

    def parts(self, size: int) -> tuple[Part, Part] | None:
        """Both parts; None where a kernel cannot do its own, or the other's results do not lie side by side."""
        if size not in self.known:
            self.known[size] = self._parts(size)
        return self.known[size]

    def _parts(self, size: int) -> tuple[Part, Part] | None:
        split = self.other.split(self.node)
        assert split is not None
        try:
            pairs = [halves(node, Partner(self.other, split.dims[0], size)) for node in self.like]
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
        """Cycles of the other kernel and of the cores, from the start of the job on."""
        if (pair := self.parts(size)) is None:
            return None
        theirs, rest = (part.kernel.cycles(part.piece.node) for part in pair)
        return theirs + self.target.engine(self.other).latency, rest

    def way(self, size: int) -> Tiled | None:
        pair, times = self.parts(size), self.times(size)
        if pair is None or times is None:
            return None
        assert self.target.dma is not None
        split = self.other.split(self.node)
        assert split is not None
        cycles = self.target.engine(self.other).issue + max(times)
        bytes_ = sum(part.constant_bytes for part in pair)
        constants = Stream("constants", bytes_, bytes_, 1, self.target.dma.cycles(bytes_), near=False)
        return replace(
            self.whole, cycles=cycles, worst_cycles=cycles * growth_of(self.node), constants=constants,
            partner=Partner(pair[0].kernel, split.dims[0], size), aside=True,
        )  # fmt: skip
