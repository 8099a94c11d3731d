"""ONNX models -> Graph. The only module that others import; `onnx` itself stays inside `frontend/`."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..errors import UserError
from ..ir.graph import Graph
from ..ir.types import Kind, TensorType, Value
from ..ir.verify import verify
from ..ops import Copy
from ..passes.rewrite import renamed
from .onnx_conv import CONV
from .onnx_elementwise import ELEMENTWISE
from .onnx_import import ELEMENT_TYPES, Converter, Importer, OnnxNode, Results, Scope, tensor
from .onnx_model import DAMAGED, Model, declared_shapes, input_type, read_model
from .onnx_nn import NN
from .onnx_quant import QUANT
from .onnx_resize import RESIZE
from .onnx_shape import SHAPE

CONVERTERS: Mapping[str, Converter] = {**ELEMENTWISE, **SHAPE, **CONV, **NN, **QUANT, **RESIZE}
"""Every ONNX operator that is converted directly, by name; others are expanded by the standard's own definitions."""

DEEPEST = 16  # functions within functions


def load_onnx(path: Path, *, batch: int = 1) -> Graph:
    """The model in a file as a graph with its own inputs and outputs, not yet simplified.

    A leading dimension that is not known at compile time is a batch and becomes `batch`. UserError for everything
    that is not supported or not a model.
    """
    return import_model(read_model(path), batch=batch)


def import_model(model: Model, *, batch: int = 1) -> Graph:
    """The graph of a model that was read."""
    types = {i.name: input_type(i, batch) for i in network_inputs(model.proto.graph)}
    return build(Importer(model.name, CONVERTERS), model, types, batch)


def network_inputs(graph: Any) -> list[Any]:
    """The inputs that are not constants."""
    initializers = {i.name for i in graph.initializer}
    return [i for i in graph.input if i.name not in initializers]


def build(importer: Importer, model: Model, inputs: Mapping[str, TensorType], batch: int) -> Graph:
    """Convert a model by an importer, its inputs having these types."""
    graph = model.proto.graph
    importer.functions = {(f.domain, f.name): f for f in model.proto.functions}
    scope = Scope(opsets=model.opsets, declared=declared_shapes(graph, batch))
    for name, kind in inputs.items():
        scope.values[name] = importer.builder.input(name, kind)
    run_nodes(importer, graph, scope)
    outputs: list[Value] = []
    names = [proto.name for proto in graph.output]
    for proto in graph.output:
        if proto.name in inputs or names.count(proto.name) > 1:
            raise UserError(
                f"{proto.name} is an output, and an input or another output as well",
                rule="inputs and outputs have names of their own", hint="put an Identity between",
            )  # fmt: skip
        value = scope.find(proto.name)
        if value is None:
            raise UserError(
                f"output {proto.name} is never computed",
                rule="every output has a node",
                hint=DAMAGED,
            )
        outputs.append(value)
    return verify(finite(finished(importer, outputs, names)))


def finite(graph: Graph) -> Graph:
    """The graph; UserError where weights, or the scales of quantised values, hold NaN or infinity."""
    for node in graph.nodes:
        for name in ("w", "scale"):
            value = node.operands.get(name)
            if value is not None and value.data is not None and not np.isfinite(value.data).all():
                raise UserError(
                    f"{value.name} holds NaN or infinity", where=node.name, origin=node.origin,
                    rule="weights and scales are finite numbers", hint=DAMAGED,
                )  # fmt: skip
    return graph


def finished(importer: Importer, values: list[Value], names: list[str]) -> Graph:
    """The graph; outputs that are inputs, constants, views or each other are copied, so that each has its own bytes."""
    importer.node = None
    producers = {v: node for node in importer.builder.nodes for v in node.outputs}
    outputs: list[Value] = []
    for value, name in zip(values, names, strict=True):
        maker = producers.get(value)
        own = maker is not None and not maker.op.view and value.kind is Kind.ACT and value not in outputs
        outputs.append(value if own else importer.builder(Copy(), value, name=f"{name}.copy", origin=f"output {name}"))
    return named(importer.builder.finish(tuple(outputs)), names)


def named(graph: Graph, names: list[str]) -> Graph:
    """The outputs under the model's own names."""
    wanted = tuple(replace(v, name=name) for v, name in zip(graph.outputs, names, strict=True))
    return renamed(graph, wanted)


def run_nodes(g: Importer, graph: Any, scope: Scope) -> None:
    """Convert the nodes of a graph, a function body or a branch, in an order in which they can run."""
    for proto in getattr(graph, "initializer", ()):
        scope.values[proto.name] = g.stored(tensor(proto, proto.name), proto.name)
    if getattr(graph, "sparse_initializer", ()):
        raise UserError(
            "sparse constants are not supported", rule="constants are dense tensors", hint="export them as dense"
        )
    for proto in _ordered(graph.node):
        inputs: list[Value | None] = []
        for name in proto.input:
            value = scope.find(name) if name else None
            if name and value is None:
                raise UserError(
                    f"reads {name}, which nothing produces", where=proto.name or proto.op_type, origin=proto.op_type,
                    rule="every input of a node is an input, a constant or a result of an earlier node",
                    hint=DAMAGED,
                )  # fmt: skip
            inputs.append(value)
        node = OnnxNode(proto, scope, inputs, _label(proto))
        results = convert(g, node)
        for name, value in zip(proto.output, _listed(results), strict=False):
            if name and value is None:
                raise node.refuse(f"result {name} is not computed", "optional results stay unused")
            if name and value is not None:
                scope.values[name] = value


def _label(proto: Any) -> str:
    return str(proto.name or (proto.output[0] if proto.output else "") or proto.op_type)


def _listed(results: Results) -> list[Value | None]:
    return [results] if isinstance(results, Value) else list(results)


def _ordered(nodes: Any) -> list[Any]:
    """Nodes sorted so that each follows those it reads; UserError where they read each other in a circle."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    order: list[Any] = []
    waiting = [{makers[name] for name in node.input if name in makers} for node in nodes]
    users: dict[int, list[int]] = {}
    for i, needed in enumerate(waiting):
        for j in needed:
            users.setdefault(j, []).append(i)
    free = [i for i, needed in enumerate(waiting) if not needed]
    heapq.heapify(free)
    while free:
        i = heapq.heappop(free)
        order.append(nodes[i])
        for user in users.get(i, ()):
            waiting[user].discard(i)
            if not waiting[user]:
                heapq.heappush(free, user)
    if len(order) < len(nodes):
        stuck = next(node for node, needed in zip(nodes, waiting, strict=True) if needed)
        raise UserError(
            "is part of a cycle", where=_label(stuck), origin=stuck.op_type,
            rule="no node reads its own result, not even through others", hint=DAMAGED,
        )  # fmt: skip
    return order


def convert(g: Importer, n: OnnxNode) -> Results:
    """The results of a node: by its converter, its function's body, or the branch that a constant chooses."""
    g.node = n
    key = f"{n.domain}.{n.op_type}" if n.domain else n.op_type
    own = g.functions.get((n.proto.domain, n.op_type))
    if own is not None:
        return call(g, n, own, {o.domain: o.version for o in own.opset_import})
    if key == "If":
        return branch(g, n)
    converter = g.converters.get(key)
    if converter is not None:
        return guarded(converter, g, n)
    body = standard_body(n)
    if body is None:
        raise n.refuse(
            f"{key} is not supported", "the operator has a converter or a definition in terms of others",
            "replace it in the model; docs/SUPPORT.md lists what there is",
        )  # fmt: skip
    return call(g, n, body, {o.domain: o.version for o in body.opset_import} or dict(n.scope.opsets))


UNREADABLE = (
    ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, AssertionError, MemoryError,
)  # fmt: skip


def guarded(converter: Converter, g: Importer, n: OnnxNode) -> Results:
    """A converter's results; whatever a malformed node makes it trip over becomes an error that names the node."""
    try:
        return converter(g, n)
    except UNREADABLE as error:
        shapes = ", ".join("-" if v is None else repr(v.type) for v in n.inputs)
        raise n.refuse(
            f"{n.op_type} cannot take ({shapes}) with attributes {', '.join(n.attributes) or 'none'}: {error}",
            "inputs and attributes are those of the operator", "check the node in the model",
        ) from error  # fmt: skip


def call(g: Importer, n: OnnxNode, body: Any, opsets: Mapping[str, int]) -> Results:
    """A function's body in place of its call."""
    if n.scope.depth >= DEEPEST:
        raise n.refuse("functions call each other without end", f"at most {DEEPEST} functions within each other")
    attributes = {a.name: a for a in getattr(body, "attribute_proto", ())} | n.attributes
    opsets = {("" if domain == "ai.onnx" else domain): version for domain, version in opsets.items()}
    scope = Scope(attributes=attributes, opsets=opsets, depth=n.scope.depth + 1)
    for name, value in zip(body.input, n.inputs, strict=False):
        if value is not None:
            scope.values[name] = value
    # Names of optional inputs that were left out are blanked, so that nodes of the body see them as missing.
    missing = set(body.input) - set(scope.values)
    nodes = [_without(node, missing) for node in body.node] if missing else body.node
    run_nodes(g, _Body(nodes), scope)
    g.node = n
    results = [scope.find(name) for name in body.output]
    declared = n.declared(0)
    if results and results[0] is not None and declared is not None and results[0].type.shape != declared:
        raise n.refuse(f"its definition gives {list(results[0].type.shape)}", f"the model declares {list(declared)}")
    return results


class _Body:
    def __init__(self, nodes: Any) -> None:
        self.node = nodes


def _without(node: Any, missing: set[str]) -> Any:
    if not missing & set(node.input):
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    for i, name in enumerate(copy.input):
        if name in missing:
            copy.input[i] = ""
    return copy


def branch(g: Importer, n: OnnxNode) -> Results:
    """If with a constant condition."""
    chosen = n.attribute("then_branch" if bool(n.known(0, "the condition").reshape(-1)[0]) else "else_branch")
    if chosen is None or n.scope.depth >= DEEPEST:
        raise n.refuse("the branch is missing or nested too deep", "If has both branches")
    scope = Scope(outer=n.scope, opsets=n.scope.opsets, attributes=n.scope.attributes, depth=n.scope.depth + 1)
    run_nodes(g, chosen, scope)
    g.node = n
    return [scope.find(o.name) for o in chosen.output]


def standard_body(n: OnnxNode) -> Any | None:
    """The standard's own definition of an operator as a function of others, if it has one for these operands."""
    try:
        schema = onnx.defs.get_schema(n.op_type, n.version, n.proto.domain)
        for name, attribute in schema.attributes.items():
            if attribute.default_value.name:
                n.attributes.setdefault(name, attribute.default_value)
        if schema.has_function:
            body = schema.get_function_with_opset_version(_nearest(schema.function_opset_versions, n.version))
        elif schema.has_context_dependent_function:
            types = [_type_proto(v).SerializeToString() for v in n.inputs]
            version = _nearest(schema.context_dependent_function_opset_versions, n.version)
            node = _resolved(n).SerializeToString()
            body = schema.get_context_dependent_function_with_opset_version(version, node, types)
        else:
            return None
    except Exception:
        return None
    function = onnx.FunctionProto()
    function.ParseFromString(body if isinstance(body, bytes) else body.SerializeToString())
    return function


def _resolved(n: OnnxNode) -> Any:
    """The node with the values of its attributes in place of references to a function's arguments."""
    proto = type(n.proto)()
    proto.CopyFrom(n.proto)
    del proto.attribute[:]
    for name, attribute in n.attributes.items():
        proto.attribute.add().CopyFrom(attribute)
        proto.attribute[-1].name = name
    return proto


def _nearest(versions: Any, wanted: int) -> int:
    below = [v for v in versions if v <= wanted]
    return int(max(below) if below else min(versions))


def _type_proto(value: Value | None) -> Any:
    if value is None:
        return onnx.TypeProto()
    code = next(c for c, t in ELEMENT_TYPES.items() if t == value.type.dtype)
    return onnx.helper.make_tensor_type_proto(code, value.type.static_shape)
