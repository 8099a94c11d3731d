"""N-EUREKA against a numpy convolution, its cycles against the shared cycle model, its job queue and its warnings.

One program runs a list of jobs from a table in L2: copy the job's bytes in, write the registers, trigger, sleep until
done, and copy the output with its surroundings out. The results are printed word by word.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import assembler as asm
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from neureka_layers import (
    BIAS,
    GUARD,
    SCALE,
    SHIFTS,
    WEIGHTS,
    WMEM_OFFSET,
    XIN,
    YOUT,
    Layer,
    Tensors,
    input_image,
    output_image,
    pack_weights,
    reference,
    registers,
    tensors,
)  # fmt: skip
from shared import run, shared_file, simulate

CODE, TABLE, RESULTS = 0x1C010000, 0x1C020000, 0x1C180000
NPU, TIMER, EVENTS, WEIGHT_MEMORY = 0x10201000, 0x10200400, 0x10204000, 0x10400000
OVERHEAD = 5 + 3  # what the timed sequence takes beyond the job: trigger and wake-up, and reading the timer
BEHIND = 512  # bytes behind the output that are checked, too


class Image:
    """The table in L2 that the program works through, and the bytes it copies from."""

    def __init__(self, table_words: int) -> None:
        self.words: list[int] = []
        self.data = bytearray()
        self.data_base = TABLE + 4 * table_words

    def copy_in(self, target: int, data: bytes) -> None:
        """A copy of `data`, filled up to words, to `target`, anywhere in a word: the bytes before it become 0xa5."""
        head = target & 3
        body = b"\xa5" * head + data
        body += b"\xa5" * (-len(body) % 4)
        if body:
            self.words += [self.data_base + len(self.data), target - head, len(body) // 4]
            self.data += body

    def end_copies(self) -> None:
        self.words.append(0)


def copy_loop(p: asm.Program, name: str) -> None:
    """Copies (source, target, words) from the table at s0 (x8), up to a zero."""
    source, target, count, value = 10, 11, 12, 13
    p.label(name)
    p.lw(source, 0, 8)
    p.addi(8, 8, 4)
    p.branch(asm.BEQ, source, asm.ZERO, name + "_done")
    p.lw(target, 0, 8)
    p.lw(count, 4, 8)
    p.addi(8, 8, 8)
    p.label(name + "_word")
    p.lw(value, 0, source)
    p.sw(value, 0, target)
    p.addi(source, source, 4)
    p.addi(target, target, 4)
    p.addi(count, count, -1)
    p.branch(asm.BNE, count, asm.ZERO, name + "_word")
    p.jump(name)
    p.label(name + "_done")


def elw(p: asm.Program, rd: int, imm: int, rs1: int) -> None:
    p.word(asm.i_type(0x03, 6, rd, rs1, imm))


def begin_program() -> asm.Program:
    """x8 table, x9 results, x14 engine, x15 timer, x16 event unit, whose mask is set to the engine's event."""
    p = asm.Program(CODE)
    asm.start_cluster(p, "cluster")
    p.label("cluster")
    p.li(8, TABLE)
    p.li(9, RESULTS)
    p.li(14, NPU)
    p.li(15, TIMER)
    p.li(16, EVENTS)
    p.addi(17, asm.ZERO, 1)
    p.sw(17, 0, 15)
    p.li(17, 1 << 12)
    p.sw(17, 0, 16)
    return p


def write_registers(p: asm.Program, name: str) -> None:
    """The 24 words at x8 into the job registers."""
    p.addi(20, 14, 0x20)
    p.addi(21, 8, 96)
    p.label(name)
    p.lw(19, 0, 8)
    p.sw(19, 0, 20)
    p.addi(8, 8, 4)
    p.addi(20, 20, 4)
    p.branch(asm.BNE, 8, 21, name)


def keep(p: asm.Program, register: int) -> None:
    """Append a register to the results."""
    p.sw(register, 0, 9)
    p.addi(9, 9, 4)


def end_program(p: asm.Program, result_words: int) -> None:
    asm.print_words(p, RESULTS, RESULTS + 4 * result_words, "results")
    asm.leave(p)


def job_program(jobs: int, result_words: int) -> asm.Program:
    """Table entry per job: copies in, 0, 24 registers, copies out, 0. Results: first a word of cycles per job."""
    p = begin_program()
    p.li(18, jobs)
    p.label("job")
    copy_loop(p, "in")
    p.label("acquire")
    p.lw(19, 4, 14)
    p.branch(asm.BLT, 19, asm.ZERO, "acquire")
    write_registers(p, "register")
    p.lw(22, 8, 15)
    p.addi(asm.ZERO, asm.ZERO, 0)
    p.sw(asm.ZERO, 0, 14)  # TRIGGER
    elw(p, 19, 0x3C, 16)
    p.lw(23, 8, 15)
    p.word(asm.r_type(0x20, 0, 23, 23, 22))
    keep(p, 23)
    copy_loop(p, "out")
    p.addi(18, 18, -1)
    p.branch(asm.BNE, 18, asm.ZERO, "job")
    end_program(p, result_words)
    return p


def add_inputs(image: Image, layer: Layer, y_at: int) -> None:
    """Copies of everything that the layer reads, and of what lies at and around its output."""
    t = tensors(layer)
    image.copy_in(XIN - 4096, b"\x5b" * 4096)
    image.copy_in(XIN, b"\x5b" * layer.skew + input_image(layer, t) + b"\x5b" * 4096)
    image.copy_in(WEIGHT_MEMORY + WMEM_OFFSET if layer.in_wmem else WEIGHTS, packed(layer, t))
    image.copy_in(SCALE, t.scale.astype("<u4" if layer.scale_bits == 32 else "u1").tobytes())
    image.copy_in(SHIFTS, t.shifts.astype("u1").tobytes())
    image.copy_in(BIAS, t.bias.astype("<i4").tobytes())
    y = output_image(layer, t.y0) if layer.stream_in else b"\xa5" * len(output_image(layer, reference(layer, t)))
    image.copy_in(YOUT - GUARD, b"\xa5" * (GUARD + y_at - YOUT) + y + b"\xa5" * BEHIND)


def packed(layer: Layer, t: Tensors) -> bytes:
    return pack_weights(t.weights, layer.weight_bits, layer.mode == "depthwise")


Patch = Callable[[list[int]], None]


def write_jobs(layers: Sequence[Layer], path: Path, patch: Patch | None = None) -> list[int]:
    """An ELF that runs the layers one by one; the words of each output. `patch` changes the job registers."""
    lengths: list[int] = []
    image = Image(4096)
    for layer in layers:
        regs = registers(layer, tensors(layer))
        add_inputs(image, layer, regs[2])
        if patch:
            patch(regs)
        image.end_copies()
        image.words += regs
        length = len(expected_output(layer)) // 4
        image.words += [YOUT - GUARD, RESULTS + 4 * (len(layers) + sum(lengths)), length, 0]
        lengths.append(length)
    write_image(path, job_program(len(layers), len(layers) + sum(lengths)), image)
    return lengths


def write_image(path: Path, program: asm.Program, image: Image) -> None:
    table = struct.pack(f"<{len(image.words)}I", *image.words)
    assert TABLE + len(table) <= image.data_base <= RESULTS - len(image.data)
    asm.write_elf(
        path,
        CODE,
        [(CODE, program.assembled()), (TABLE, table), (image.data_base, bytes(image.data))],
        dict(program.labels),
    )


def run_layers(layers: Sequence[Layer], path: Path, *options: str) -> list[tuple[int, bytes]]:
    """Each layer's cycles, as the cycle model counts them, and its output with what lies around it."""
    lengths = write_jobs(layers, path)
    words = [int(line, 16) for line in simulate(path, *options).split()]
    results, at = [], len(layers)
    for cycles, length in zip(words, lengths, strict=False):
        results.append((cycles - OVERHEAD, struct.pack(f"<{length}I", *words[at : at + length])))
        at += length
    return results


def expected_output(layer: Layer) -> bytes:
    t = tensors(layer)
    before = GUARD + registers(layer, t)[2] - YOUT
    image = b"\xa5" * before + output_image(layer, reference(layer, t)) + b"\xa5" * BEHIND
    return image[: len(image) // 4 * 4]


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Legal jobs only: see docs/simulator-npu.md for what is not."""
    mode = draw(st.sampled_from(["1x1", "1x1", "3x3", "3x3", "depthwise"]))
    cin = draw(st.sampled_from([1, 5, 28, 31, 32, 33, 56, 60, 64]))
    cout = cin if mode == "depthwise" else draw(st.sampled_from([1, 3, 8, 20, 28, 31, 32, 33, 40, 64]))
    height, width = draw(st.integers(1, 13)), draw(st.sampled_from([1, 2, 5, 6, 7, 8, 12]))
    padding, value = (0, 0, 0, 0), 0
    if mode != "1x1" and draw(st.booleans()):
        top, left = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        # two rows or columns of padding at the end need a last tile of more than one
        bottom = draw(st.integers(0, 1 if height % 6 == 1 and height > 6 else 2))
        right = draw(st.integers(0, 1 if width % 6 == 1 and width > 6 else 2))
        padding = (min(top, height + 1 - bottom), min(right, width + 1), bottom, 0)
        padding = (padding[0], padding[1], bottom, min(left, width + 1 - padding[1]))
        if bottom == 0 and right == 0:
            value = draw(st.sampled_from([0, 0, 1, 5, 127] if draw(st.booleans()) else [0]))
    bits = draw(st.integers(2, 8))
    stream_in = mode != "depthwise" and draw(st.integers(0, 3)) == 0
    out_bits = 32 if stream_in else draw(st.sampled_from([8, 8, 8, 32]))
    scale_bits = draw(st.sampled_from([8, 8, 32] if out_bits == 8 else [0, 0, 8, 32]))
    return Layer(
        mode, cin, cout, height, width, weight_bits=bits,
        weight_offset=draw(st.sampled_from([-(1 << (bits - 1)), 0, -3])),
        signed=draw(st.booleans()), relu=draw(st.booleans()), out_bits=out_bits, scale_bits=scale_bits,
        bias=draw(st.booleans()), channel_shift=bool(scale_bits) and draw(st.integers(0, 3)) == 0,
        padding=padding, pad_value=value,
        mask=draw(st.integers(0, 511)) if mode != "1x1" and draw(st.integers(0, 2)) == 0 else 0,
        stream_in=stream_in, in_wmem=draw(st.booleans()), prefetch=draw(st.booleans()),
        pixel_gap=draw(st.sampled_from([0, 0, 1, 4, 7])), row_gap=draw(st.sampled_from([0, 0, 3, 16])),
        skew=draw(st.integers(0, 3)), seed=draw(st.integers(0, 1 << 32)),
    )  # fmt: skip


def fits(layer: Layer) -> bool:
    """Input, output and weights have to fit the fixed places of the test."""
    t = tensors(layer)
    sizes = (len(input_image(layer, t)), len(output_image(layer, reference(layer, t))), len(packed(layer, t)))
    return sizes[0] < 0xF000 - 4096 and sizes[1] < 0xF000 and sizes[2] < 0x18000


def replay() -> Callable[[list[int]], int] | None:
    """The shared cycle model of the registers, or None where it is absent."""
    try:
        path = shared_file("neureka_model.py")
    except pytest.skip.Exception:
        return None
    spec = util.spec_from_file_location("neureka_model", path)
    assert spec
    assert spec.loader
    module: Any = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: Callable[[list[int]], int] = module.replay
    return model


# the failing layer is named, so that shrinking the batch would only take time
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
BATCHES = st.lists(layers().filter(fits), min_size=6, max_size=12)


def check_jobs(path: Path, batch: list[Layer]) -> None:
    """Every byte in and around the outputs, and where the shared model is present the cycles of every job."""
    model = replay()
    # the first job runs twice, as the first one finds the program's loop not yet in the instruction cache
    results = run_layers([batch[0], *batch], path)[1:]
    for layer, (cycles, output) in zip(batch, results, strict=True):
        wrong = np.flatnonzero(np.frombuffer(output, np.uint8) != np.frombuffer(expected_output(layer), np.uint8))
        assert wrong.size == 0, f"{layer}: {wrong.size} bytes wrong, first at {wrong[:4] - GUARD}"
        if model:
            assert cycles == model(registers(layer, tensors(layer))), f"{layer}: {cycles} cycles"


@settings(max_examples=12, deadline=None, derandomize=True, phases=PHASES)
@given(BATCHES)
def test_legal_jobs_are_numpy_convolutions(tmp_path_factory: pytest.TempPathFactory, batch: list[Layer]) -> None:
    check_jobs(tmp_path_factory.mktemp("npu") / "jobs.elf", batch)


@pytest.mark.full
@settings(max_examples=300, deadline=None, phases=PHASES)
@given(BATCHES)
def test_many_legal_jobs(tmp_path_factory: pytest.TempPathFactory, batch: list[Layer]) -> None:
    check_jobs(tmp_path_factory.mktemp("npu") / "jobs.elf", batch)


def test_packing_agrees_with_the_shared_encoder() -> None:
    spec = util.spec_from_file_location("neureka_weights", shared_file("neureka_weights.py"))
    assert spec
    assert spec.loader
    module: Any = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(1)
    for cout, cin, kernel, bits, depthwise in (
        (3, 5, 1, 8, False),
        (2, 70, 1, 3, False),
        (4, 30, 3, 8, False),
        (2, 28, 3, 2, False),
        (33, 1, 3, 5, True),
    ):
        weights = rng.integers(0, 1 << bits, (cout, cin, kernel, kernel))
        assert (
            pack_weights(weights, bits, depthwise) == module.encode(weights.astype(np.uint8), bits, depthwise).tobytes()
        )


def test_two_jobs_queue(tmp_path: Path) -> None:
    """What ACQUIRE and STATUS say while two contexts fill; the second job ends its own length after the first."""
    first, second = Layer("1x1", 64, 64, 6, 6, seed=1), Layer("1x1", 64, 32, 12, 6, seed=1)
    image = Image(4096)
    add_inputs(image, first, YOUT)
    image.end_copies()
    image.words += registers(first, tensors(first)) + registers(second, tensors(second))
    p = begin_program()
    copy_loop(p, "in")
    for index in range(2):
        p.lw(19, 4, 14)
        keep(p, 19)  # ACQUIRE: the job's id
        p.lw(19, 0xC, 14)
        keep(p, 19)  # STATUS
        p.lw(19, 4, 14)
        keep(p, 19)  # ACQUIRE without commit
        write_registers(p, f"register{index}")
        if index == 0:
            p.addi(19, asm.ZERO, 1)
            p.sw(19, 0, 14)  # commit only
    p.sw(asm.ZERO, 0, 14)  # commit and run both
    p.lw(19, 4, 14)
    keep(p, 19)  # ACQUIRE with both contexts taken
    elw(p, 19, 0x3C, 16)
    p.lw(22, 8, 15)
    elw(p, 19, 0x3C, 16)
    p.lw(23, 8, 15)
    p.word(asm.r_type(0x20, 0, 23, 23, 22))
    keep(p, 23)
    p.lw(19, 0xC, 14)
    keep(p, 19)
    end_program(p, 9)
    write_image(tmp_path / "queue.elf", p, image)
    got = [int(line, 16) for line in simulate(tmp_path / "queue.elf").split()]
    assert got[:7] == [0, 0x001, 0xFFFFFFFE, 1, 0x101, 0xFFFFFFFE, 0xFFFFFFFF]
    assert got[8] == 0
    model = replay()
    if model:
        assert got[7] == model(registers(second, tensors(second)))


def set_bits(register: int, bits: int) -> Patch:
    def patch(regs: list[int]) -> None:
        regs[register] |= bits

    return patch


def clear_bits(register: int, bits: int) -> Patch:
    def patch(regs: list[int]) -> None:
        regs[register] &= ~bits

    return patch


DOUBTFUL: dict[str, tuple[Layer, Patch | None]] = {
    "padding value": (Layer("3x3", 28, 8, 6, 6, padding=(1, 1, 1, 1), pad_value=5), None),
    "padding 2": (Layer("3x3", 28, 8, 7, 5, padding=(2, 2, 2, 2)), None),
    "strided2x2": (Layer("3x3", 28, 8, 3, 3), set_bits(23, 1 << 8)),
    "depthwise stream-in": (Layer("depthwise", 28, 28, 3, 3, out_bits=32, scale_bits=0, stream_in=True), None),
    "without a bias": (Layer("1x1", 64, 8, 1, 1, scale_bits=32), clear_bits(23, 1 << 25)),
    "REM1": (Layer("1x1", 32, 8, 3, 3), set_bits(16, 7)),
    "weight memory": (Layer("1x1", 32, 8, 3, 3), set_bits(0, 0x7FFFFF)),
}


@pytest.mark.parametrize("words", DOUBTFUL)
def test_jobs_outside_the_legal_ones_warn(words: str, tmp_path: Path) -> None:
    layer, patch = DOUBTFUL[words]
    write_jobs([layer], tmp_path / "job.elf", patch)
    lenient, strict = run(tmp_path / "job.elf"), run(tmp_path / "job.elf", "--strict")
    assert (lenient.returncode, strict.returncode) == (0, 3)
    assert words in lenient.stderr
    assert words in strict.stderr


def test_legal_jobs_do_not_warn(tmp_path: Path) -> None:
    write_jobs([Layer("3x3", 28, 8, 6, 6, padding=(1, 1, 1, 1)), Layer("1x1", 32, 8, 3, 3)], tmp_path / "job.elf")
    assert "N-EUREKA" not in run(tmp_path / "job.elf", "--strict").stderr


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    layer = Layer("3x3", 28, 8, 6, 6, weight_bits=4, weight_offset=-8, bias=True, seed=3)
    ((_, output),) = run_layers([layer], tmp_path / "job.elf")
    assert output == expected_output(layer)
    assert output != expected_output(replace(layer, weight_offset=-7))
