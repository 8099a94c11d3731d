"""Graphs and programs as text, for people and for `--dump`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .graph import Graph
from .program import (
    Barrier,
    Buffer,
    Call,
    Column,
    Copy,
    Job,
    Loop,
    Operand,
    Parts,
    Phase,
    Program,
    Share,
    Step,
    Table,
    Wait,
)
from .types import Kind


def text(graph: Graph) -> str:
    """One line per node: results = Operator(operands) {attributes}  # origin."""
    syms = ", ".join(f"{s.name} <= {s.max}" for s in graph.syms)
    lines = [f"graph {graph.name}({syms})"]
    lines += [f"  {v.kind.value} {v!r}" for v in (*graph.inputs, *graph.states)]
    for node in graph.nodes:
        operands = ", ".join("-" if v is None else _use(v.name, v.kind) for v in node.inputs)
        results = ", ".join(map(repr, node.outputs))
        shown = ", ".join(f"{k}={v!r}" for k, v in node.op.attributes.items())
        note = f"  # {node.origin}" if node.origin and node.origin != node.name else ""
        lines.append(f"  {results} = {type(node.op).__name__}({operands}){f' {{{shown}}}' if shown else ''}{note}")
    lines += [f"  {b.value!r} is the first {b.rows} rows of %{b.state.name}" for b in graph.bound]
    lines.append(f"  return {', '.join(f'%{v.name}' for v in graph.outputs)}")
    return "\n".join(lines) + "\n"


def _use(name: str, kind: Kind) -> str:
    return f"@{name}" if kind is Kind.CONST else f"%{name}"


def program_text(program: Program) -> str:
    """Buffers with their places, then one line per step or call; loops are followed by their tables."""
    syms = ", ".join(f"{s.name} <= {s.max}" for s in program.syms)
    lines = [f"program {program.name}({syms})"]
    for buffer in dict.fromkeys((*program.inputs, *program.outputs, *program.buffers)):
        lines += _buffer(buffer, "  ")
    return "\n".join([*lines, *_steps(program.steps, "  ", None)]) + "\n"


def _buffer(buffer: Buffer, pad: str) -> Iterator[str]:
    place = buffer.memory if buffer.offset is None else f"{buffer.memory} + {buffer.offset}"
    packing = f", {buffer.packing.name}" if buffer.packing else ""
    yield f"{pad}{buffer.kind.value} {buffer.name}: {buffer.dtype}[{buffer.elements}] in {place}{packing}"
    for member in buffer.members:
        yield from _buffer(member, pad + "  ")


def _steps(steps: Sequence[Step], pad: str, table: Table | None) -> Iterator[str]:
    for step in steps:
        match step:
            case Phase():
                yield f"{pad}phase {_share(step.share)}"
                yield from (f"{pad}  {_call(call, table)}" for call in step.calls)
            case Parts():
                yield f"{pad}parts"
                yield from (f"{pad}  core {c}: {_call(call, table)}" for c, call in enumerate(step.calls) if call)
            case Copy():
                lines = "" if step.lines == 1 else f" x {step.lines!r} lines, {step.stride} apart"
                lines += "" if step.blocks == 1 else f" x {step.blocks} blocks, {step.apart} apart"
                target, source = _operand(step.target, table), _operand(step.source, table)
                yield f"{pad}copy #{step.token} on core {step.core}: {target} = {source}, {step.bytes!r} bytes{lines}"
            case Job():
                engine = step.call.kernel.engine
                yield f"{pad}job #{step.token} of {engine} on core {step.core}: {_call(step.call, table)}"
            case Wait():
                rest = f", {step.behind} jobs go on" if step.behind else ""
                yield f"{pad}wait #{step.token} on core {step.core}{rest}"
            case Barrier():
                yield f"{pad}barrier"
            case Loop():
                yield f"{pad}loop over {len(step.table.rows)} rows of {step.table.name}"
                yield from _steps(step.body, pad + "  ", step.table)
                rows = (
                    ", ".join("-" if ref is None else _operand(ref, None) for ref in row) for row in step.table.rows
                )
                yield from (f"{pad}{step.table.name}[{i}] = {row}" for i, row in enumerate(rows))


def _share(share: Share | None) -> str:
    if share is None:
        return "on core 0"
    late = f", {share.late} fewer on core 0" if share.late else ""
    return f"on all cores: {share.total!r} of {' '.join(share.dims) or '?'} in steps of {share.unit}{late}"


def _call(call: Call, table: Table | None) -> str:
    operands = (f"{name}={'-' if o is None else _operand(o, table)}" for name, o in call.operands)
    scalars = (f"{name}={value!r}" for name, value in call.scalars)
    return f"{call.kernel.symbol}({', '.join((*operands, *scalars))})  # {call.semantics.name}"


def _operand(operand: Operand, table: Table | None) -> str:
    if isinstance(operand, Column):
        return f"{table.name}.{table.columns[operand.index]}" if table else f"column {operand.index}"
    b = operand.buffer
    place = b.name if b.offset is None else f"{b.name}@{b.offset}"
    return place if operand.offset == 0 else f"{place} + {operand.offset!r}"
