"""What each engine does of a node that runs one way: its piece of every tile, and the constants that go with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ir.domain import Box
from ..ir.graph import Node
from ..ir.plan import MEMBER_ALIGNMENT, Partner, Tiled, aligned
from ..ir.types import Kind, TensorType, Value, maximum
from ..targets.base import Kernel, Packing
from .tiles import Piece, Tiling


@dataclass(frozen=True, eq=False)
class Part:
    """A kernel's piece of a tile."""

    kernel: Kernel
    piece: Piece

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


def halves(node: Node, partner: Partner) -> tuple[Piece, Piece]:
    """What the partner does, and what is left to the cores. RuleError where the operator cannot be cut there.

    The cores have the first part: what reads results in order may begin with it.
    """
    tiling = Tiling(node, ((partner.dim, partner.size),))
    whole = {name: (0, maximum(extent)) for name, extent in tiling.extents.items()}
    _, stop = whole[partner.dim]
    at = stop - partner.size
    return tiling.piece(whole | {partner.dim: (at, stop)}), tiling.piece(whole | {partner.dim: (0, at)})


def parts(node: Node, way: Tiled) -> list[tuple[Part, ...]]:
    """Of every tile."""
    if way.partner is None:
        return [(Part(way.kernel, piece),) for piece in Tiling(node, way.tile).pieces]
    theirs, rest = halves(node, way.partner)
    return [(Part(way.partner.kernel, theirs), Part(way.kernel, rest))]


def packed_bytes(kind: TensorType, kernel: Kernel, name: str) -> int:
    """Bytes of an operand as the kernel wants it."""
    packing = kernel.packing.get(name)
    if packing is None:
        return kind.bytes
    bits = 8 if kind.dtype.bits < 8 else kind.dtype.bits
    return packing.elements(kind.static_shape) * bits // 8
