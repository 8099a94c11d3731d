"""C that brings inputs and outputs into and out of the state that keeps them, whatever layout its kernels chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Bound
from ..ir.program import Buffer
from ..ir.types import Array
from .layout import INDENT
from .names import Names, identifier

if TYPE_CHECKING:
    from ..compiled import Compiled


def converter_names(compiled: Compiled) -> dict[Bound, str]:
    """The C function of each bound input (PREFIX_load_..) and output (PREFIX_store_..)."""
    graph, names = compiled.plan.entries[-1].graph, Names()
    groups = (("load", graph.loads), ("store", graph.stores))
    return {
        bound: names.of((verb, bound.value), f"{compiled.prefix}_{verb}_{identifier(bound.value.name)}")
        for verb, group in groups
        for bound in group
    }


def prototype(bound: Bound, name: str, loads: bool) -> str:
    ctype = bound.value.type.dtype.ctype
    return f"void {name}(const {ctype} *from)" if loads else f"void {name}({ctype} *to)"


def converters(compiled: Compiled) -> list[dict[str, Any]]:
    """Prototype, body and the value of every converter."""
    graph = compiled.plan.entries[-1].graph
    states: Mapping[str, tuple[Buffer, str]] = {b.name: (b, name) for b, name in compiled.source.state_names}
    found = []
    for bound, name in converter_names(compiled).items():
        loads = bound in graph.loads
        buffer, variable = states[bound.state.name]
        found.append({
            "name": name, "prototype": prototype(bound, name, loads), "value": bound.value.name, "loads": loads,
            "body": _body(bound, buffer, variable, loads),
        })  # fmt: skip
    return found


def _body(bound: Bound, buffer: Buffer, state: str, loads: bool) -> str:
    """Loops over the value's axes; each moves the address in the state by steps that do not depend on the others."""
    extents, lines, terms = bound.value.type.static_shape, [], []
    depth = 1
    for axis, (extent, (block, far, near)) in enumerate(zip(extents, _steps(bound, buffer), strict=True)):
        if extent == 1:
            continue
        index = f"i{axis}"
        lines.append(f"{INDENT * depth}for (int {index} = 0; {index} < {extent}; {index}++)")
        depth += 1
        blocks = [_times(f"{index} / {block}", far), _times(f"{index} % {block}", near)]
        terms += [_times(index, far)] if block == 1 else blocks
    place = f"{state}[{' + '.join(terms) or '0'}]"
    lines.append(INDENT * depth + (f"{place} = *from++;" if loads else f"*to++ = {place};"))
    return "{\n" + "\n".join(lines) + "\n}"


def _times(index: str, step: int) -> str:
    return index if step == 1 else f"{index} * {step}"


def _steps(bound: Bound, buffer: Buffer) -> list[tuple[int, int, int]]:
    """Per axis of the value (block, far, near): index i lies i / block * far + i % block * near from index 0."""
    places = _places(bound, buffer)
    origin = int(places.reshape(-1)[0])
    found, total = [], np.full(places.shape, origin, np.int64)
    for axis, extent in enumerate(places.shape):
        line = np.moveaxis(places, axis, 0).reshape(extent, -1)[:, 0] - origin
        shape = [-1 if a == axis else 1 for a in range(places.ndim)]
        total = total + line.reshape(shape)
        found.append(_blocked(line))
    assert origin == 0, "the first element of a state is the first of its storage"
    assert np.array_equal(total, places), f"the layout of {buffer.name} moves its axes independently"
    return found


def _places(bound: Bound, buffer: Buffer) -> Array:
    """Where in the state's storage every element of the value lies."""
    shape = bound.state.type.static_shape
    numbers = np.arange(bound.state.type.size, dtype=np.int64).reshape(shape)
    if buffer.packing is not None:
        packed = buffer.packing.pack(numbers + 1)  # 0 is padding
        places = np.zeros(bound.state.type.size, np.int64)
        places[packed[packed > 0] - 1] = np.flatnonzero(packed > 0)
        numbers = places.reshape(shape)
    return bound.stored(numbers)


def _blocked(line: Array) -> tuple[int, int, int]:
    """The smallest block that explains the distances along an axis."""
    index = np.arange(len(line))
    for block in range(1, len(line) + 1):
        far = int(line[block]) if block < len(line) else 0
        near = int(line[1]) if block > 1 else 0
        if np.array_equal(index // block * far + index % block * near, line):
            return block, far, near
    raise AssertionError("distances along an axis of a state follow no blocks")
