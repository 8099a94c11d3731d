"""What each engine does of a node that runs one way: its piece of every tile, and the constants that go with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..ir.domain import Box
from ..ir.graph import Node
from ..ir.op import Apart, Within, operand_names
from ..ir.plan import MEMBER_ALIGNMENT, Partner, Tiled, aligned
from ..ir.types import Kind, TensorType, Value, maximum
from ..targets.base import Kernel, Packing
from .tiles import Piece, Tiling


@dataclass(frozen=True, eq=False)
class Part:
    """A kernel's piece of a tile.

    Where it is a step of a node that is taken apart, `names` tells its operands under the node's names; those of
    `within` are what goes from a step to the next, by their first element; all others are constants of its own.
    """

    kernel: Kernel
    piece: Piece
    names: Mapping[str, str] | None = None
    within: Mapping[str, int] = field(default_factory=dict)

    def name(self, operand: str) -> str | None:
        """Of an operand as the node has it, None where the node has none such."""
        return operand if self.names is None else self.names.get(operand)

    def whole(self, operand: str, node: Node) -> Value:
        """What the piece has a box of."""
        name = self.name(operand)
        return self.piece.node.operands[operand] if name is None else node.operands[name]

    @property
    def travelling(self) -> Iterator[tuple[str, Value, Box, Packing | None]]:
        """Constants that come to the scratchpad: (operand, value, what of it, how it is packed)."""
        for name, value in self.piece.node.operands.items():
            if value.kind is Kind.CONST and name not in self.kernel.direct and name not in self.piece.node.op.aliases:
                yield name, value, self.piece.boxes[name], self.kernel.packing.get(name)

    @property
    def constant_bytes(self) -> int:
        """Of the constants that travel together."""
        operands = self.piece.node.operands
        return sum(
            aligned(packed_bytes(operands[name].type, self.kernel, name), MEMBER_ALIGNMENT)
            for name, _, _, _ in self.travelling
        )


@dataclass(frozen=True, eq=False)
class Steps:
    """A node taken apart: a product, what follows it, which of its operands are elements of the product's result."""

    product: Node
    rest: Node
    within: Mapping[str, int]


def steps_of(node: Node) -> tuple[Steps, ...]:
    """A product that is one operator with what follows it, as two nodes, in all ways that there are; none of others."""
    return tuple(_steps(node, found) for found in node.op.apart(*node.inputs))


def _steps(node: Node, found: Apart) -> Steps:
    kinds = found.product.infer(*(v.type if v is not None else None for v in found.operands))
    result = Value(f"{node.name}.product", kinds[0])
    product = Node(found.product, found.operands, (result,), node.name, node.origin)
    names = operand_names(found.rest, len(found.after))
    within = {n: v.first for n, v in zip(names, found.after, strict=True) if isinstance(v, Within)}
    inputs = [Value(result.name, v.type) if isinstance(v, Within) else v for v in found.after]
    return Steps(product, Node(found.rest, tuple(inputs), node.outputs, node.name, node.origin), within)


def steps_with(node: Node, kernel: Kernel) -> Steps | None:
    """Those whose product is for this kernel."""
    return next((steps for steps in steps_of(node) if type(steps.product.op) is kernel.op), None)


def halves(node: Node, partner: Partner) -> tuple[Piece, Piece]:
    """What the partner does, and what is left to the cores. RuleError where the operator cannot be cut there.

    The cores have the first part: what reads results in order may begin with it.
    """
    tiling = Tiling(node, ((partner.dim, partner.size),))
    whole = {name: (0, maximum(extent)) for name, extent in tiling.extents.items()}
    _, stop = whole[partner.dim]
    at = stop - partner.size
    return tiling.piece(whole | {partner.dim: (at, stop)}), tiling.piece(whole | {partner.dim: (0, at)})


def shared(node: Node, kernel: Kernel, partner: Partner) -> tuple[Part, ...]:
    """The partner's part, the cores', and what these do of the partner's part once it is done, where there is such."""
    theirs, mine = halves(node, partner)
    if partner.then is None:
        return Part(partner.kernel, theirs), Part(kernel, mine)
    steps = steps_with(theirs.node, partner.kernel)
    assert steps is not None
    (result,) = (name for name, value in steps.product.operands.items() if value in steps.product.outputs)
    first = _step(partner.kernel, steps.product, theirs, {result: 0})
    return first, Part(kernel, mine), _step(partner.then, steps.rest, theirs, steps.within)


def _step(kernel: Kernel, node: Node, piece: Piece, within: Mapping[str, int]) -> Part:
    """A step of what a piece computes."""
    known = {value: name for name, value in piece.node.operands.items()}
    names = {name: known[value] for name, value in node.operands.items() if value in known}
    boxes = {
        name: piece.boxes[names[name]] if name in names else tuple((0, maximum(d)) for d in value.type.shape)
        for name, value in node.operands.items()
    }
    return Part(kernel, Piece(piece.ranges, boxes, node), names, within)


def between(parts: tuple[Part, ...]) -> int:
    """Bytes of what goes from a step to the next."""
    return max((part.piece.node.outputs[0].type.bytes for part in parts[:1] if part.within), default=0)


def parts(node: Node, way: Tiled) -> list[tuple[Part, ...]]:
    """Of every tile."""
    if way.partner is None:
        return [(Part(way.kernel, piece),) for piece in Tiling(node, way.tile).pieces]
    return [shared(node, way.kernel, way.partner)]


def packed_bytes(kind: TensorType, kernel: Kernel, name: str) -> int:
    """Bytes of an operand as the kernel wants it."""
    packing = kernel.packing.get(name)
    if packing is None:
        return kind.bytes
    bits = 8 if kind.dtype.bits < 8 else kind.dtype.bits
    return packing.elements(kind.static_shape) * bits // 8
