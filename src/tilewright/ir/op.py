"""What an operator is: a frozen dataclass of attributes with a shape rule, a domain, a numpy reference and examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from .domain import Box, Domain, Ranges
from .types import Array, Dim, Expr, Sym, TensorType, Value, substitute

REGISTRY: dict[str, type[Op]] = {}


class RuleError(ValueError):
    """A rule of an operator does not hold for its operands. The message is the rule, as the user reads it."""


@dataclasses.dataclass(frozen=True)
class Within:
    """Elements of a product's result that follow each other, from `first` on."""

    first: int
    type: TensorType


@dataclasses.dataclass(frozen=True)
class Apart:
    """An operator as a product and what follows it: operators, and their operands.

    Those of `rest` that the product gives are `Within` its result.
    """

    product: Op
    operands: tuple[Value | None, ...]
    rest: Op
    after: tuple[Value | Within | None, ...]


@dataclasses.dataclass(frozen=True)
class Op:
    """One operator. Subclasses are frozen dataclasses in `ops/`, one file per family.

    `operands` and `results` name the inputs and outputs in order, as the access maps do; a name that ends in "?" is
    optional, one that ends in "*" takes all the rest. `aliases` maps a result to the operand whose storage it reuses
    (state that is updated in place). `view` marks operators that move no data: they are placement (see `offset`).
    """

    operands: ClassVar[tuple[str, ...]] = ()
    results: ClassVar[tuple[str, ...]] = ("y",)
    aliases: ClassVar[Mapping[str, str]] = {}
    view: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_"):
            REGISTRY[cls.__name__] = cls

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        """Types of the results. Raises RuleError with the broken rule."""
        raise NotImplementedError

    def domain(self, *types: TensorType | None) -> Domain:
        """Iteration domain and access maps; `types` are those of operands and results, in order."""
        raise NotImplementedError

    def reference(self, *arrays: Array | None) -> Array | tuple[Array, ...]:
        """The definition: numpy in, numpy out. Symbolic attributes are numbers by then (see `at`)."""
        raise NotImplementedError

    def apart(self, *inputs: Value | None) -> tuple[Apart, ...]:
        """The same as a product that an engine beside the cores may compute and what follows it, with these operands.

        There may be several such products, each another operator; none where constants are not known.
        """
        return ()

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        """Random legal instance for property tests: `draw` is hypothesis's. The operator and its operands' types."""
        raise NotImplementedError

    def offset(self, *types: TensorType | None) -> Dim:
        """Views only: first element of the result within the operand, whose elements follow each other."""
        return 0

    def tiled(self, ranges: Ranges) -> Op:
        """The operator that computes one tile of its domain from footprints, cut out and filled (padding done).

        Where an axis is WHOLE in its operands, the tile's operator may compute all of it and the caller cuts the tile
        out. `ranges` covers every dimension; reduced ones are never split.
        """
        return self

    def clipped(self, ranges: Ranges, outside: Mapping[str, Box]) -> Op:
        """`tiled` for footprints that were clipped to their operands instead of filled: the operator pads itself.

        `outside`: how far the footprint of an operand reaches over its edges, before and after each axis; only operands
        where it does. RuleError where the operator cannot.
        """
        require(not outside, f"{type(self).__name__} has no border of its own")
        return self.tiled(ranges)

    def fill(self, operand: str) -> float | int:
        """What lies outside an operand, where a footprint reaches over its edge; -inf: the least value of its type."""
        return 0

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        """First value and one past the last that an operand of indices may hold; None: any."""
        return None

    def at(self, env: Mapping[str, Dim]) -> Op:
        """The operator with Syms in its attributes replaced where the environment has them."""
        changed: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (Sym, Expr)):
                changed[field.name] = substitute(value, env)
            elif isinstance(value, tuple) and any(isinstance(item, (Sym, Expr)) for item in value):
                changed[field.name] = tuple(substitute(v, env) if isinstance(v, (Sym, Expr)) else v for v in value)
        return dataclasses.replace(self, **changed) if changed else self

    @property
    def attributes(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def syms(self) -> tuple[Sym, ...]:
        """Syms in the attributes."""
        found: list[Sym] = []
        for value in self.attributes.values():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, (Sym, Expr)):
                    found += [s for s, _ in Expr.of(item).terms if s not in found]
        return tuple(found)


def operand_names(op: Op, count: int) -> list[str]:
    """Names of `count` operands: "*" names are numbered, "?" is dropped."""
    names: list[str] = []
    for name in op.operands:
        if name.endswith("*"):
            names += [f"{name[:-1]}{i}" for i in range(count - len(names))]
        else:
            names.append(name.rstrip("?"))
    return names[:count]


def result_names(op: Op, count: int) -> list[str]:
    """Names of `count` results, as for operands."""
    names: list[str] = []
    for name in op.results:
        if name.endswith("*"):
            names += [f"{name[:-1]}{i}" for i in range(count - len(names))]
        else:
            names.append(name.rstrip("?"))
    return names[:count]


def require(condition: bool, rule: str) -> None:
    """Raise RuleError(rule) unless the condition holds."""
    if not condition:
        raise RuleError(rule)
