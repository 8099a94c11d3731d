"""Kernels alone on the simulated chip: results and cycles of single calls, many in one program.

Every case runs three times: its cores one after the other, in both orders, then together; those whose cores meet in the
call always together, all there are. All three have to agree and
nothing but results and scratch may change; the last call, with a warm instruction cache, is the one that is counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...cgen.prototypes import HEADER, prototypes
from ...ir.graph import Node
from ...ir.program import Share
from ...ir.types import Array, TensorType, resolve
from ...sim import SimOptions, Simulation
from ..base import Kernel
from .build import compile_sources, link, runtime
from .share import CORES
from .target import L1_BYTES, RUNTIME, SIRACUSA

GUARD = 64  # bytes before and after every buffer
FILL = 0xC3  # what guards, scratch and results hold before a call
FAR_BYTES = 1 << 20  # of L2, for operands that kernels use where they are
IMAGES = 6 << 20  # bytes of weight memory for the operands of one program
COLLECTED = 700 << 10  # bytes of L2 for its results
LIMIT = 2_000_000_000  # cluster cycles of one program


@dataclass(frozen=True)
class Case:
    """A call: logical arrays by operand name, results absent.

    `overlay` maps results to the operands whose storage they take, beside those that the operator updates in place.
    `shift` moves activations by so many elements from the alignment that buffers have.
    """

    kernel: Kernel
    node: Node
    operands: Mapping[str, Array]
    env: Mapping[str, int] = field(default_factory=dict)
    overlay: Mapping[str, str] = field(default_factory=dict)
    shift: int = 0


@dataclass(frozen=True)
class Outcome:
    """Results by name, logical; cluster cycles of the call (the slowest core's), and those of every core."""

    results: dict[str, Array]
    cycles: int
    spent: tuple[int, ...]


def measure(cases: Sequence[Case], cores: int = CORES, timing: str = "gvsoc") -> list[Outcome]:
    """Run the cases. RuntimeError where a kernel writes what it must not, ValueError where a case is too large."""
    outcomes: list[Outcome] = []
    batch: list[_Prepared] = []
    for case in cases:
        batch.append(_Prepared(case, cores))
        if sum(p.image_bytes for p in batch) > IMAGES or sum(p.result_bytes for p in batch) > COLLECTED:
            outcomes += _run(batch[:-1], timing)
            batch = batch[-1:]
    return outcomes + _run(batch, timing) if batch else outcomes


@dataclass
class _Pool:
    """A memory and what it holds before a call; `kept` are the ranges that no call may change."""

    symbol: str
    capacity: int
    content: bytearray = field(default_factory=lambda: bytearray([FILL]) * GUARD)
    kept: list[tuple[int, int, str]] = field(default_factory=list)

    def place(self, what: str, data: bytes | int, shift: int, *, changes: bool) -> int:
        """Offset of a buffer: its content, or how many bytes it has."""
        self.content += bytes([FILL]) * (-len(self.content) % 16 + shift)
        at, size = len(self.content), data if isinstance(data, int) else len(data)
        self.kept.append((at - GUARD, at, f"what lies before {what}"))
        self.content += bytes([FILL]) * size if isinstance(data, int) else data
        if not changes:
            self.kept.append((at, at + size, what))
        self.content += bytes([FILL]) * (GUARD + -len(self.content) % 16)
        self.kept.append((at + size, len(self.content), f"what lies behind {what}"))
        return at


class _Prepared:
    """A case with every operand placed, and the C of its call."""

    def __init__(self, case: Case, cores: int) -> None:
        self.case, kernel, node = case, case.kernel, case.node
        self.types = {name: value.type.substitute(case.env) for name, value in node.operands.items()}
        self.aliases = {**node.op.aliases, **case.overlay}
        self.near, self.far = _Pool("tw_near", L1_BYTES), _Pool("tw_far", FAR_BYTES)
        self.places: dict[str, tuple[_Pool, int, int]] = {}
        changing = {*self.aliases.values(), *(name for name in self.types if name not in case.operands)}
        for name, kind in self.types.items():
            if name not in self.aliases:
                self._place(name, kind, changes=name in changing)
        split = kernel.split(node) if kernel.engine == "cpu" else None
        self.total = self.chunk = 0
        if split is not None and not kernel.meets:
            shapes = {name: kind.shape for name, kind in self.types.items()}
            extents = node.op.domain(*_types(node, self.types)).extents(shapes)
            self.total = int(np.prod([resolve(extents[dim], case.env) for dim in split.dims]))
            self.chunk = Share(self.total, split.unit).range_of(0, cores, self.total)[1]
        size = kernel.scratch(node)
        self.scratch = [
            self.near.place("scratch", size, 0, changes=True)
            for _ in range(cores if self.total and size else bool(size))
        ]
        for pool in (self.near, self.far):
            if len(pool.content) > pool.capacity:
                raise ValueError(f"{kernel.symbol}: {len(pool.content):,} bytes are too many for the bench")

    def _place(self, name: str, kind: TensorType, *, changes: bool) -> None:
        kernel, operands = self.case.kernel, self.case.operands
        logical = operands.get(name, np.zeros(kind.static_shape, kind.dtype.numpy))
        packed = kernel.packing[name].pack(logical) if name in kernel.packing else logical
        data = np.ascontiguousarray(packed, kind.dtype.numpy).tobytes()
        shift = 0 if name in kernel.packing else self.case.shift * np.dtype(kind.dtype.numpy).itemsize
        pool = self.far if name in kernel.direct else self.near
        at = pool.place(name, data if name in operands else len(data), shift, changes=changes)
        self.places[name] = pool, at, len(data)

    @property
    def results(self) -> list[str]:
        return [name for name in self.types if name not in self.case.operands]

    @property
    def image_bytes(self) -> int:
        return len(self.near.content) + len(self.far.content)

    @property
    def result_bytes(self) -> int:
        return sum(self.place_of(name)[2] for name in self.results)

    def place_of(self, name: str) -> tuple[_Pool, int, int]:
        return self.places[self.aliases.get(name, name)]

    def call(self, number: int) -> list[str]:
        """The C function that calls the kernel on one core."""
        kernel, case = self.case.kernel, self.case
        scalars = kernel.arguments(case.node)
        tables: list[str] = []
        words: dict[str, str] = {}
        for ctype, name in kernel.parameters:
            if kernel.gathers(name):
                found = [self._address(n, number) for n in self.places if n.rstrip("0123456789") == name]
                tables.append(f"    const void *const {name}_all[] = {{{', '.join(found)}}};")
                words[name] = f"(void *){name}_all"
            elif name in ("first", "last") and self.chunk:
                words[name] = name
            elif name == "scratch":
                stride = self.scratch[1] - self.scratch[0] if len(self.scratch) > 1 else 0
                words[name] = f"(void *)(tw_near + {self.scratch[0]} + core * {stride})" if self.scratch else "0"
            elif name in scalars:
                value = scalars[name]
                if isinstance(value, tuple):
                    near = "" if kernel.engine == "cpu" else " TW_NEAR"  # a core waits for each of its loads
                    tables.append(f"    static const int32_t {name}[]{near} = {{{', '.join(map(str, value)) or '0'}}};")
                    words[name] = name
                else:
                    words[name] = _literal(ctype, value if isinstance(value, float) else resolve(value, case.env))
            else:
                words[name] = self._address(name, number)
        arguments = [words[name] for _, name in kernel.passed]
        if kernel.fields:
            fields = ", ".join(f".{name} = {words[name]}" for _, name in kernel.fields)
            tables.append(f"    static const struct {kernel.symbol} given TW_NEAR = {{{fields}}};")
            arguments.insert(0, "&given")
        call = f"    {kernel.symbol}({', '.join(arguments)});"
        waits = [] if kernel.engine == "cpu" else [f"    tw_{kernel.engine}_wait(0);"]
        unused = "    (void)core, (void)first, (void)last;"
        return [
            f"static void call{number}(int core, int first, int last)",
            "{",
            unused,
            *tables,
            call,
            *waits,
            "}",
            "",
        ]

    def _address(self, name: str, number: int) -> str:
        """Tables that are used where they are lie in weight memory, where the image is."""
        if self.aliases.get(name, name) not in self.places:
            return "0"
        pool, at, _ = self.place_of(name)
        fixed = pool is self.far and name in self.case.operands and name not in self.aliases.values()
        return f"(void *)({pool.symbol}{f'_{number}' if fixed else ''} + {at})"


def _types(node: Node, types: Mapping[str, TensorType]) -> Iterator[TensorType | None]:
    """Types of inputs and outputs as `Op.domain` takes them."""
    names = iter(types)
    for value in (*node.inputs, *node.outputs):
        yield types[next(names)] if value is not None else None


def _literal(ctype: str, value: float) -> str:
    if isinstance(value, float):
        return f"{value!r}{'f' if ctype == 'float' else ''}"
    return f"INT64_C({value})" if abs(value) >= 1 << 31 else str(value)


def _run(batch: Sequence[_Prepared], timing: str) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="tilewright-bench-") as folder:
        elf = _program(batch, Path(folder))
        with Simulation(elf, SimOptions(timing=timing, strict=True)) as chip:
            result = chip.run(LIMIT)
            if result.error or result.status:
                raise RuntimeError(f"the program failed on the chip: {result.error or result.output[-500:]}")
            damage = np.frombuffer(chip.read("tw_damage", 4 * len(batch)), np.uint32)
            spent = np.frombuffer(chip.read("tw_spent", 4 * CORES * len(batch)), np.uint32).reshape(-1, CORES)
            collected = chip.read("tw_collected", sum(p.result_bytes for p in batch))
    outcomes, at = [], 0
    for prepared, harm, cycles in zip(batch, damage, spent, strict=True):
        _judge(prepared, int(harm))
        results = {}
        for name in prepared.results:
            size = prepared.place_of(name)[2]
            results[name] = _logical(prepared, name, collected[at : at + size])
            at += size
        outcomes.append(Outcome(results, int(cycles.max()), tuple(map(int, cycles))))
    return outcomes


def _judge(prepared: _Prepared, harm: int) -> None:
    symbol = prepared.case.kernel.symbol
    if harm == 0x8000:
        raise RuntimeError(f"{symbol}: results depend on the order of the cores")
    if harm:
        kept = [what for pool in (prepared.near, prepared.far) for _, _, what in pool.kept]
        raise RuntimeError(f"{symbol}: wrote into {kept[harm - 1]}")


def _logical(prepared: _Prepared, name: str, content: bytes) -> Array:
    kind, packing = prepared.types[name], prepared.case.kernel.packing.get(name)
    flat = np.frombuffer(content, kind.dtype.numpy)
    return packing.unpack(flat, kind.static_shape) if packing else flat.reshape(kind.static_shape)


def _program(batch: Sequence[_Prepared], out: Path) -> Path:
    """Build the ELF of a batch. Each kernel file sees only its own rows, so that its object is found again."""
    kernels = {p.case.kernel.symbol: p.case.kernel for p in batch}
    shared = [RUNTIME, RUNTIME / "include"]
    objects = []
    for file in sorted({kernel.file for kernel in kernels.values()}):
        rows = [k for k in (*SIRACUSA.kernels, *kernels.values()) if k.file == file]
        seen = out / file
        seen.mkdir()
        (seen / HEADER).write_text(prototypes(rows))
        objects += compile_sources([SIRACUSA.kernel_file(file)], [*shared, seen, *SIRACUSA.kernel_folders], out)
    (out / HEADER).write_text(prototypes(kernels.values()))
    (out / "cases.c").write_text(_cases(batch))
    (out / "data.S").write_text("\n".join(_images(batch, out)))
    objects += compile_sources([out / "data.S", out / "cases.c", RUNTIME / "bench.c"], [*shared, out], out)
    return link([*objects, *runtime(shared, out)], "*(.bss.near)", "", out / "bench.elf")


def _images(batch: Sequence[_Prepared], out: Path) -> Iterator[str]:
    for i, prepared in enumerate(batch):
        for pool in (prepared.near, prepared.far):
            name = f"{pool.symbol}_{i}"
            (out / f"{name}.bin").write_bytes(pool.content)
            yield f'    .section .rodata.{name}, "a"\n    .balign 16\n    .globl {name}\n{name}:'
            yield f'    .incbin "{out / name}.bin"\n'


def _cases(batch: Sequence[_Prepared]) -> str:
    size = {pool: max(len(getattr(p, pool).content) for p in batch) for pool in ("near", "far")}
    collected = max(1, sum(p.result_bytes for p in batch))
    lines = [
        f'#include "{HEADER}"', '#include "bench.h"', '#include "tw_cores.h"', "",
        f'uint8_t tw_near[{size["near"]}] __attribute__((aligned(16), section(".bss.near")));',
        f"uint8_t tw_far[{size['far']}] __attribute__((aligned(16)));",
        f"uint8_t tw_collected[{collected}];",
        f"uint32_t tw_spent[{len(batch)}][TW_CORES];", f"uint32_t tw_damage[{len(batch)}];", "",
    ]  # fmt: skip
    rows, at = [], 0
    for i, prepared in enumerate(batch):
        lines += [f"extern const uint8_t tw_near_{i}[], tw_far_{i}[];", *prepared.call(i)]
        kept = [(p.symbol, begin, end) for p in (prepared.near, prepared.far) for begin, end, _ in p.kept]
        areas = [f"{{{symbol} + {a}, {symbol}_{i} + {a}, {b - a}}}" for symbol, a, b in kept]
        lines.append(f"static const tw_area kept{i}[] = {{{', '.join(areas)}}};")
        results = []
        for name in prepared.results:
            pool, place, count = prepared.place_of(name)
            results.append(f"{{{pool.symbol} + {place}, tw_collected + {at}, {count}}}")
            at += count
        lines.append(f"static const tw_area results{i}[] = {{{', '.join(results)}}};")
        images = [f"{{{p.symbol}, {p.symbol}_{i}, {len(p.content) // 4 * 4}}}" for p in (prepared.near, prepared.far)]
        rows.append(
            f"    {{call{i}, {{{', '.join(images)}}}, kept{i}, results{i}, {len(kept)}, {len(results)}, "
            f"{prepared.total}, {prepared.chunk}, {int(prepared.case.kernel.meets)}}},"
        )
    lines += ["", "const tw_case tw_cases[] = {", *rows, "};", f"const uint32_t tw_case_count = {len(batch)};", ""]
    return "\n".join(lines)
