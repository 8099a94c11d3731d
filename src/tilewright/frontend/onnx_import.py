"""The state of an import: scopes of names, nodes with their attributes, constants folded as they appear."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from ..errors import UserError
from ..ir.graph import Builder
from ..ir.op import Op, RuleError
from ..ir.types import (
    BOOL,
    DTYPES,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Array,
    DType,
    Value,
    const,
)
from ..passes.fold import evaluate, foldable

ELEMENT_TYPES: dict[int, DType] = {
    1: F32, 2: U8, 3: I8, 4: U16, 5: I16, 6: I32, 7: I64, 9: BOOL, 10: F16, 11: F64, 12: U32, 13: U64,
}  # fmt: skip
LARGEST = 1 << 31  # bytes of one tensor: nothing that runs from plain C needs more, and a hostile file may ask for it

Results = Value | Sequence[Value | None]
Converter = Callable[["Importer", "OnnxNode"], Results]


def type_name(code: int) -> str:
    """ONNX's name of an element type."""
    try:
        return str(onnx.TensorProto.DataType.Name(code))
    except ValueError:
        return f"element type {code}"


def element_type(code: int, where: str) -> DType:
    """The element type for ONNX's number; UserError where there is none."""
    if code not in ELEMENT_TYPES:
        raise UserError(
            f"tensors of {type_name(code)} are not supported", where=where,
            rule=f"element types are {', '.join(DTYPES)}", hint="cast the model to one of these",
        )  # fmt: skip
    return ELEMENT_TYPES[code]


@dataclass
class Scope:
    """Names of a graph, a function body or a branch; what is not here is looked up outside."""

    outer: Scope | None = None
    values: dict[str, Value] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)  # arguments of a function
    declared: dict[str, tuple[int, ...]] = field(default_factory=dict)
    opsets: Mapping[str, int] = field(default_factory=dict)
    depth: int = 0

    def find(self, name: str) -> Value | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        return None


class OnnxNode:
    """One node of the model as converters read it."""

    def __init__(self, proto: Any, scope: Scope, inputs: list[Value | None], label: str) -> None:
        self.proto, self.scope, self.inputs, self.label = proto, scope, inputs, label
        self.op_type, self.domain = str(proto.op_type), _domain(proto.domain)
        self.version = scope.opsets.get(self.domain, 1)
        self.attributes: dict[str, Any] = {}
        for attribute in proto.attribute:
            if attribute.ref_attr_name:
                if attribute.ref_attr_name in scope.attributes:
                    self.attributes[attribute.name] = scope.attributes[attribute.ref_attr_name]
            else:
                self.attributes[attribute.name] = attribute

    @property
    def origin(self) -> str:
        return f"{self.op_type} -> {self.proto.output[0]}" if self.proto.output else self.op_type

    def refuse(self, problem: str, rule: str, hint: str = "change the model, or see docs/SUPPORT.md") -> UserError:
        """The error of a node that is not supported."""
        return UserError(problem, where=self.label, origin=self.origin, rule=rule, hint=hint)

    # Attributes

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute as Python: int, float, str, list, or a numpy array for a tensor."""
        proto = self.attributes.get(name)
        if proto is None:
            return default
        if proto.type == onnx.AttributeProto.TENSOR:
            return tensor(proto.t, self.label)
        value = onnx.helper.get_attribute_value(proto)
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        return value if isinstance(value, (int, float)) else list(value) if not hasattr(value, "node") else value

    def integer(self, name: str, default: int = 0) -> int:
        value = self.attribute(name, default)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(()).item()
        if not isinstance(value, (int, float)) or value != int(value):
            raise self.refuse(f"attribute {name} is {value!r}", f"{name} is an integer")
        return int(value)

    def real(self, name: str, default: float = 0.0, *, finite: bool = True) -> float:
        value = self.attribute(name, default)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(()).item()
        if not isinstance(value, (int, float)):
            raise self.refuse(f"attribute {name} is {value!r}", f"{name} is a number")
        if finite and not math.isfinite(value):
            raise self.refuse(f"attribute {name} is {value!r}", f"{name} is finite")
        return float(value)

    def text(self, name: str, default: str = "") -> str:
        return str(self.attribute(name, default))

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """A list of integers; a missing one without default is refused."""
        value = self.attribute(name, default)
        if value is None:
            raise self.refuse(f"attribute {name} is missing", f"{self.op_type} has {name}")
        if isinstance(value, (int, float)):
            value = [value]
        if isinstance(value, np.ndarray):
            value = value.reshape(-1).tolist()
        if not isinstance(value, list | tuple) or not all(isinstance(v, int) for v in value):
            raise self.refuse(f"attribute {name} is {value!r}", f"{name} is a list of integers")
        return tuple(int(v) for v in value)

    # Inputs

    def input(self, index: int) -> Value:
        """An input that must be there."""
        if index >= len(self.inputs):
            raise self.refuse(f"input {index} is missing", f"{self.op_type} has it")
        value = self.inputs[index]
        if value is None:
            raise self.refuse(f"input {index} is missing", f"{self.op_type} has it")
        return value

    def optional(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def shape(self, index: int = 0) -> tuple[int, ...]:
        return self.input(index).type.static_shape

    def matrix(self) -> tuple[int, int]:
        """The shape of the first input, a matrix."""
        shape = self.shape()
        if len(shape) != 2:
            raise self.refuse(f"a tensor of {len(shape)} axes", f"{self.op_type} takes a matrix")
        return shape[0], shape[1]

    def image(self) -> tuple[int, int, int, int]:
        """The shape of the first input, [n, c, h, w]."""
        shape = self.shape()
        if len(shape) != 4:
            raise self.refuse(f"a tensor of {len(shape)} axes", f"{self.op_type} takes [n, c, h, w]")
        return shape[0], shape[1], shape[2], shape[3]

    def known(self, index: int, what: str) -> Array:
        """The data of an input that has to be a constant."""
        value = self.input(index)
        if value.data is None:
            raise self.refuse(
                f"{what} comes from {value.name}, which is computed at run time",
                f"known at compile time: {what}", "make it a constant (an initializer) in the model",
            )  # fmt: skip
        return value.data

    def known_integers(self, index: int, what: str) -> tuple[int, ...]:
        return tuple(int(v) for v in self.known(index, what).reshape(-1))

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        axis = self.integer(name, default)
        return self.inside(axis, rank)

    def inside(self, axis: int, rank: int) -> int:
        if not -rank <= axis < rank:
            raise self.refuse(f"axis {axis} of a tensor with {rank} axes", f"the axis is within {-rank} .. {rank - 1}")
        return axis % rank

    def declared(self, index: int = 0) -> tuple[int, ...] | None:
        """The shape that the model itself states for a result."""
        name = self.proto.output[index] if index < len(self.proto.output) else ""
        return self.scope.declared.get(name)

    def wants(self, index: int) -> bool:
        """Whether the model uses the result."""
        return index < len(self.proto.output) and bool(self.proto.output[index])


def _domain(text: str) -> str:
    return "" if text in ("ai.onnx", "") else str(text)


def tensor(proto: Any, where: str) -> Array:
    """The data of a TensorProto; UserError for types and sizes that are not supported or do not fit together."""
    dtype = element_type(proto.data_type, where or proto.name)
    count = 1
    for dim in proto.dims:
        if dim < 0:
            raise UserError(
                f"constant {proto.name or where} has a dimension of {dim}", rule="dimensions are not negative"
            )
        count *= dim
    if count * dtype.numpy.itemsize > LARGEST:
        raise UserError(
            f"constant {proto.name or where} has {count:,} elements", rule=f"a tensor has at most {LARGEST:,} bytes"
        )
    try:
        array = onnx.numpy_helper.to_array(proto)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise UserError(
            f"constant {proto.name or where} cannot be read: {error}", where=where,
            rule=f"{count} elements of {dtype}", hint="the file is damaged; export it again",
        ) from None  # fmt: skip
    return np.asarray(array, dtype.numpy)


class Importer:
    """Builds the graph. Operators whose operands are all constant are computed at once and leave a constant."""

    def __init__(self, name: str, converters: Mapping[str, Converter]) -> None:
        self.converters = converters
        self.builder = Builder(name)
        self.node: OnnxNode | None = None
        self.functions: dict[tuple[str, str], Any] = {}
        self.folded = 0  # bytes of constants made so far
        self.makers: dict[Value, Op] = {}  # operators that made a value from constants alone, unfolded

    @property
    def label(self) -> str:
        return self.node.label if self.node is not None else ""

    def const(self, array: Any, dtype: DType | None = None, name: str = "") -> Value:
        data = np.asarray(array) if dtype is None else np.asarray(array, dtype.numpy)
        return const(self.builder.unique(name or f"{self.label}.const"), data, dtype)

    def stored(self, array: Array, name: str = "") -> Value:
        """A constant that the model stores: an initializer or a Constant node."""
        return self.const(array, name=name)

    def like(self, value: Value, number: float) -> Value:
        """A constant scalar of a value's element type."""
        return self.const(np.asarray(number).astype(value.type.dtype.numpy), value.type.dtype)

    def emit(self, op: Op, *inputs: Value | None) -> Value:
        return self.emit_all(op, *inputs)[0]

    def emit_all(self, op: Op, *inputs: Value | None) -> tuple[Value, ...]:
        """The results of an operator: constants where all operands are, else of a new node."""
        node = self.node
        origin = node.origin if node is not None else ""
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        self._check_size(op, inputs)
        if self._foldable(op, inputs):
            return tuple(self.const(a, t.dtype) for a, t in evaluate(op, inputs))
        results = self.builder.add(op, *inputs, name=self.label, origin=origin)
        if all(v is None or v.data is not None for v in inputs):
            self.makers |= dict.fromkeys(results, op)
        return results

    def _foldable(self, op: Op, inputs: Sequence[Value | None]) -> bool:
        """Whether to compute the operator now; constants may not grow without bound."""
        try:
            if not foldable(op, inputs):
                return False
            self.folded += sum(t.bytes for t in op.infer(*(v.type if v is not None else None for v in inputs)))
        except RuleError:
            return False  # the builder says it with the node's name
        return self.folded <= LARGEST >> 2

    def _check_size(self, op: Op, inputs: Sequence[Value | None]) -> None:
        try:
            types = op.infer(*(v.type if v is not None else None for v in inputs))
        except RuleError:
            return  # the builder says it better
        for kind in types:
            if kind.bytes > LARGEST:
                raise UserError(
                    f"{type(op).__name__} makes a tensor of {kind.bytes:,} bytes", where=self.label,
                    origin=self.node.origin if self.node else "", rule=f"a tensor has at most {LARGEST:,} bytes",
                    hint="the model's shapes are wrong, or it is too large for plain C",
                )  # fmt: skip
