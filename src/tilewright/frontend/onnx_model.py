"""Reading ONNX files: parsing, external data within the model's folder, versions, types of the interface."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from ..errors import UserError
from ..ir.types import TensorType
from .files import read_file
from .onnx_import import LARGEST, element_type

NEWEST_OPSET = 28
OLDEST_OPSET = 1
DAMAGED = "the file is damaged or not ONNX; export it again"


@dataclass(frozen=True)
class Model:
    """A parsed model: its protobuf, name, and the opset of every domain."""

    proto: Any
    name: str
    opsets: dict[str, int]


def read_model(path: Path) -> Model:
    """Read and check a file. External data may lie in the model's folder and below, nowhere else."""
    model = parse_model(read_file(path, LARGEST, "a model file"), path.name)
    _load_external(model.proto, path.parent)
    return model


def parse_model(data: bytes, name: str) -> Model:
    """The model in bytes."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception:
        raise UserError(f"{name} is not an ONNX model", rule="the file is one protobuf message", hint=DAMAGED) from None
    if not proto.HasField("graph") or (not proto.graph.node and not proto.graph.output):
        raise UserError(f"{name} has no graph", rule="a model has a graph with outputs", hint=DAMAGED)
    opsets = {("" if o.domain == "ai.onnx" else o.domain): int(o.version) for o in proto.opset_import}
    version = opsets.setdefault("", 1 if proto.ir_version < 3 else NEWEST_OPSET)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise UserError(
            f"{name} uses opset {version}", rule=f"opsets {OLDEST_OPSET} to {NEWEST_OPSET} are supported",
            hint="export the model with one of these",
        )  # fmt: skip
    title = str(proto.graph.name or Path(name).stem)
    return Model(proto, "".join(c if c.isascii() and c.isalnum() else "_" for c in title) or "network", opsets)


def _load_external(proto: Any, folder: Path) -> None:
    """Read external tensors into the protobuf."""
    root = folder.resolve()
    for item in _tensors(proto.graph):
        if item.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {e.key: e.value for e in item.external_data}
        location = entries.get("location", "")
        target = (root / location).resolve()
        if not location or not target.is_relative_to(root) or not target.is_file():
            raise UserError(
                f"the data of {item.name} lies in {location!r}", rule="external data lies within the model's folder",
                hint="put it beside the model",
            )  # fmt: skip
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
        except ValueError:
            raise UserError(
                f"the data of {item.name} has no valid place", rule="offset and length are numbers", hint=DAMAGED
            ) from None
        expected = math.prod(max(0, d) for d in item.dims) * element_type(item.data_type, item.name).numpy.itemsize
        length = expected if length < 0 else length
        if length != expected or offset < 0 or offset + length > target.stat().st_size or length > LARGEST:
            raise UserError(
                f"the data of {item.name} does not fit its file", rule=f"{expected:,} bytes at {offset:,}", hint=DAMAGED
            )
        with target.open("rb") as file:
            file.seek(offset)
            item.raw_data = file.read(length)
        item.data_location = onnx.TensorProto.DEFAULT
        del item.external_data[:]


def _tensors(graph: Any, depth: int = 0) -> Any:
    """Every tensor of a graph and its branches."""
    yield from graph.initializer
    if depth > 16:
        return
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g, depth + 1)


def _dims(proto: Any, batch: int) -> tuple[int, ...] | None:
    """The declared shape of a tensor, a leading unknown dimension being the batch; None where it is not known."""
    kind = proto.type
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return None
    dims: list[int] = []
    for axis, dim in enumerate(kind.tensor_type.shape.dim):
        if dim.WhichOneof("value") == "dim_value":
            dims.append(int(dim.dim_value))
        elif axis == 0:
            dims.append(batch)
        else:
            return None
    return tuple(dims) if min(dims, default=0) >= 0 else None


def declared_shapes(graph: Any, batch: int) -> dict[str, tuple[int, ...]]:
    """Shapes that the model states for its values, by name."""
    found = {}
    for proto in (*graph.value_info, *graph.output):
        dims = _dims(proto, batch)
        if dims is not None:
            found[str(proto.name)] = dims
    return found


def input_type(proto: Any, batch: int) -> TensorType:
    """The type of a graph input; UserError where it is not a tensor of numbers with a shape."""
    kind = proto.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UserError(
            f"input {proto.name} is {'a ' + kind.removesuffix('_type') if kind else 'without a type'}",
            rule="inputs are tensors of numbers", hint="sequences, maps and optional values are not supported",
        )  # fmt: skip
    dtype = element_type(proto.type.tensor_type.elem_type, f"input {proto.name}")
    dims = _dims(proto, batch)
    if dims is None:
        shape = [
            d.dim_value if d.WhichOneof("value") == "dim_value" else d.dim_param or "?"
            for d in proto.type.tensor_type.shape.dim
        ]
        raise UserError(
            f"input {proto.name} has the shape {shape}", rule="all dimensions but a leading batch are fixed",
            hint="fix the dimensions when exporting, for instance with onnxruntime's make_dynamic_shape_fixed",
        )  # fmt: skip
    if math.prod(dims) * dtype.numpy.itemsize > LARGEST:
        raise UserError(
            f"input {proto.name} has the shape {list(dims)}", rule=f"a tensor has at most {LARGEST:,} bytes"
        )
    return TensorType(dims, dtype)
