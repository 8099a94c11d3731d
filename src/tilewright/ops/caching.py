"""What operators share that make the queries of new tokens, and write their keys and values into caches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..ir.domain import Ranges
from ..ir.op import Op
from ..ir.types import Dim, Expr


@dataclass(frozen=True)
class _Caching(Op):
    """Row t of keys and values goes to row pos + t of the caches, in place; dimensions t and g of the domain are tokens
    and heads of the caches, each of which a group of query heads shares.
    """

    heads: int
    kv_heads: int
    pos: Dim = 0
    results = ("y", "k", "v")
    aliases = {"k": "state_k", "v": "state_v"}

    @property
    def group(self) -> int:
        """Queries that share a head of the caches."""
        return self.heads // self.kv_heads

    def tiled(self, ranges: Ranges) -> Op:
        kv_heads = ranges["g"][1] - ranges["g"][0]
        pos = (Expr.of(self.pos) + ranges["t"][0]).simplified()
        return replace(self, heads=self.group * kv_heads, kv_heads=kv_heads, pos=pos)
