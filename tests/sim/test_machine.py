"""The chip around the instructions: faults, deadlocks, limits, memory, DMA, code that changes, hostile files."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import assembler as asm
import pytest

from tilewright.errors import UserError
from tilewright.sim import SimOptions, SimResult, Simulation, simulate

ENTRY, DATA = 0x1C010000, 0x1C100000
EVENT_UNIT, DMA, TIMER = 0x10204000, 0x10204400, 0x10200400
LIMIT = SimOptions(max_cycles=200_000)
JUMP_T0 = asm.i_type(0x67, 0, 0, 5, 0)


def build(
    path: Path, body: Callable[[asm.Program], None], cores: int = 0, data: tuple[tuple[int, bytes], ...] = ()
) -> Path:
    """An ELF whose body runs on the fabric controller, or on the cluster cores of the mask `cores`."""
    program = asm.Program(ENTRY)
    program.label("start")
    if cores:
        asm.start_cluster(program, "body", cores)
    program.label("body")
    body(program)
    asm.write_elf(path, ENTRY, [(ENTRY, program.assembled()), *data], program.labels)
    return path


def run(path: Path, body: Callable[[asm.Program], None], cores: int = 0, options: SimOptions = LIMIT) -> SimResult:
    return simulate(build(path / "program.elf", body, cores), options, timeout=60)


# --- how runs end


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code_is_passed_on(tmp_path: Path, code: int) -> None:
    result = run(tmp_path, lambda p: asm.leave(p, code))
    assert result.status == code
    assert result.report["exit_code"] == code
    assert result.error is None


@pytest.mark.parametrize(("cores", "name"), [(0, "fabric controller"), (1, "core 0"), (16, "core 4")])
@pytest.mark.parametrize(
    ("what", "words", "address"),
    [
        ("load outside the memory map", lambda p: (p.li(5, 0x30000000), p.lw(6, 8, 5)), "0x30000008"),
        ("store outside the memory map", lambda p: (p.li(5, 0x0FFFFFF0), p.sw(6, 4, 5)), "0x0ffffff4"),
        ("illegal instruction", lambda p: p.word(0), "0x00000000"),
        ("jump outside the memories", lambda p: (p.li(5, 0x1A104000), p.word(JUMP_T0)), "0x1a104000"),
        ("ebreak", lambda p: p.word(0x00100073), "0x1c0"),
    ],
)  # fmt: skip
def test_faults_name_core_place_and_address(
    tmp_path: Path, cores: int, name: str, what: str, words: Callable[[asm.Program], object], address: str
) -> None:
    def body(program: asm.Program) -> None:
        program.li(asm.SP, 0x10030000 if cores else DATA)
        program.jump("callee", link=asm.RA)
        program.addi(asm.ZERO, asm.ZERO, 0)
        program.label("callee")
        words(program)

    result = run(tmp_path, body, cores)
    assert result.status == 3
    assert result.error is not None
    assert what in result.error
    assert address in result.error
    assert f"{name}, pc 0x" in result.error
    assert "callee" in result.error or "jump" in what
    assert "called from" in result.error


def test_deadlock_says_who_waits_for_what(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.li(5, EVENT_UNIT + 0x200)
        program.addi(6, asm.ZERO, 7)
        program.sw(6, 0x00, 5)
        program.sw(6, 0x0C, 5)
        program.li(7, 1 << 16)
        program.li(8, EVENT_UNIT)
        program.sw(7, 0, 8)
        program.word(asm.i_type(0x03, 6, 6, 5, 0x1C))  # p.elw on a barrier that core 2 never reaches

    def fabric_sleeps(program: asm.Program) -> None:
        asm.start_cluster(program, "body", 3)

    program = asm.Program(ENTRY)
    fabric_sleeps(program)
    program.fixups.pop()  # instead of its loop the fabric controller waits for an interrupt
    program.code[-4:] = struct.pack("<I", 0x10500073)
    program.word(0x10500073)
    program.label("body")
    body(program)
    asm.write_elf(tmp_path / "d.elf", ENTRY, [(ENTRY, program.assembled())], program.labels)
    result = simulate(tmp_path / "d.elf", LIMIT)
    assert result.status == 3
    assert result.report["ending"] == "deadlock"
    assert "core 0 at body" in str(result.error)
    assert "barrier 0 (arrived: 0, 1; missing: 2)" in str(result.error)
    assert "fabric controller" in str(result.error)


def test_endless_loop_stops_at_the_limit(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.label("forever")
        program.jump("forever")

    result = run(tmp_path, body, cores=0x1FF, options=SimOptions(max_cycles=12345))
    assert result.status == 3
    assert result.report["ending"] == "cycle limit"
    assert result.cycles == 12345
    assert "forever" in str(result.error)


def test_run_in_pieces_equals_one_run(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.li(5, 3000)
        program.label("loop")
        program.addi(5, 5, -1)
        program.branch(asm.BNE, 5, asm.ZERO, "loop")
        asm.leave(program, 9)

    elf = build(tmp_path / "p.elf", body, cores=1)
    whole = simulate(elf, LIMIT)
    with Simulation(elf) as simulation:
        pieces = [simulation.run(1000)]
        while pieces[-1].report["ending"] == "cycle limit":
            pieces.append(simulation.run(777))
    assert len(pieces) > 5
    assert (pieces[-1].status, pieces[-1].cycles) == (whole.status, whole.cycles)


# --- memory from outside


def test_memory_by_symbol_and_address(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.la(5, "variable")
        program.lw(6, 0, 5)
        program.addi(6, 6, 1)
        program.sw(6, 4, 5)
        asm.leave(program)
        program.label("variable")
        program.word(41, 0)

    with Simulation(build(tmp_path / "p.elf", body)) as simulation:
        address, _ = simulation.symbol("variable")
        assert simulation.read("variable", 4) == struct.pack("<I", 41)
        simulation.write("variable", struct.pack("<I", 99))
        simulation.write(0x10000000, b"\x01\x02\x03")
        assert simulation.run().status == 0
        assert simulation.read("variable+4", 4) == struct.pack("<I", 100)
        assert simulation.read(hex(address + 4), 4) == struct.pack("<I", 100)
        assert simulation.read(0x10000000, 5) == b"\x01\x02\x03\x57\x57"  # power-up pattern behind
        for request in (
            lambda: simulation.read(0x20000000, 4),
            lambda: simulation.symbol("absent"),
            lambda: simulation.read(0x1C1FFFFE, 4),
        ):
            with pytest.raises(UserError):
                request()
        assert simulation.read("variable", 4) == struct.pack("<I", 99)  # still alive


def test_segments_load_into_every_memory(tmp_path: Path) -> None:
    places = {
        0x10000000: b"L1",
        0x1003FFFC: b"end.",
        0x1C000000: b"private",
        0x10400000: b"weights",
        0x10BFFFF8: b"last",
    }
    elf = build(tmp_path / "p.elf", asm.leave, data=tuple(places.items()))
    with Simulation(elf) as simulation:
        for address, content in places.items():
            assert simulation.read(address, len(content)) == content


# --- code that changes, addresses that are not aligned


def test_code_that_overwrites_itself(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.addi(10, asm.ZERO, 0)
        program.addi(11, asm.ZERO, 2)
        program.label("again")
        program.label("patched")
        program.addi(10, 10, 1)
        program.la(5, "patched")
        program.li(6, asm.i_type(0x13, 0, 10, 10, 40))
        program.sw(6, 0, 5)
        program.addi(11, 11, -1)
        program.branch(asm.BNE, 11, asm.ZERO, "again")
        program.li(5, asm.EXIT)
        program.li(6, 0x80000000)
        program.word(asm.r_type(0, 6, 6, 6, 10))
        program.sw(6, 0, 5)
        program.label("end")
        program.jump("end")

    assert run(tmp_path, body).status == 41
    assert run(tmp_path, body, cores=1).status == 41


@pytest.mark.parametrize("cores", [0, 1])
def test_misaligned_accesses_read_and_write_every_byte(tmp_path: Path, cores: int) -> None:
    base = 0x10001000

    def body(program: asm.Program) -> None:
        program.li(5, base)
        program.li(6, 0x44332211)
        for offset in range(4):
            program.sw(6, 16 * offset + offset, 5)
            program.lw(7, 16 * offset + offset, 5)
            program.sw(7, 128 + 4 * offset, 5)
        asm.leave(program)

    with Simulation(build(tmp_path / "p.elf", body, cores)) as simulation:
        assert simulation.run().status == 0
        for offset in range(4):
            assert simulation.read(base + 17 * offset, 4) == bytes([0x11, 0x22, 0x33, 0x44])
        assert simulation.read(base + 128, 16) == bytes([0x11, 0x22, 0x33, 0x44] * 4)


def test_test_and_set_returns_the_old_word_and_sets_it(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.li(5, 0x10100100)
        program.lw(6, 0, 5)
        program.lw(7, 0, 5)
        program.li(5, 0x10000200)
        program.sw(6, 0, 5)
        program.sw(7, 4, 5)
        asm.leave(program)

    elf = build(tmp_path / "p.elf", body, 1, data=((0x10000100, struct.pack("<I", 5)),))
    with Simulation(elf) as simulation:
        simulation.run()
        assert struct.unpack("<3I", simulation.read(0x10000200, 8) + simulation.read(0x10000100, 4)) == (
            5,
            0xFFFFFFFF,
            0xFFFFFFFF,
        )


@pytest.mark.parametrize("address", [0x1A120000, 0x1A150004, 0x1A17FFFC])
def test_peripherals_that_are_not_modelled_keep_what_is_written(tmp_path: Path, address: int) -> None:
    def body(program: asm.Program) -> None:
        program.li(5, address)
        program.li(6, 0x1234567)
        program.sw(6, 0, 5)
        program.lw(7, 0, 5)
        program.li(5, DATA)
        program.sw(7, 0, 5)
        asm.leave(program)

    with Simulation(build(tmp_path / "p.elf", body)) as simulation:
        assert simulation.run().status == 0
        assert struct.unpack("<I", simulation.read(DATA, 4)) == (0x1234567,)


# --- DMA: any command moves what its definition says


Side = tuple[int, int, int]  # of a transfer: its first byte, bytes of a line, from line to line; line 0: in one piece


def moved(memory: dict[str, bytearray], to_l1: bool, local: Side, outside: Side, size: int) -> None:
    """The definition: `size` bytes, one after the other."""

    def at(side: Side, k: int) -> int:
        first, line, stride = side
        return first + k if line == 0 else first + k // line * stride + k % line

    for k in range(size):
        if to_l1:
            memory["l1"][at(local, k)] = memory["l2"][at(outside, k)]
        else:
            memory["l2"][at(outside, k)] = memory["l1"][at(local, k)]


@pytest.mark.parametrize("timing", ["gvsoc", "chip"])
@pytest.mark.parametrize("seed", range(4))
def test_dma_moves_what_its_commands_say(tmp_path: Path, seed: int, timing: str) -> None:
    random_ = random.Random(seed)
    size_l1, size_l2 = 0x4000, 0x8000
    memory = {"l1": bytearray(random_.randbytes(size_l1)), "l2": bytearray(random_.randbytes(size_l2))}
    begin = {name: bytes(content) for name, content in memory.items()}
    program = asm.Program(ENTRY)
    asm.start_cluster(program, "body", 1)
    program.label("body")
    program.li(5, DMA)
    for _ in range(12):
        to_l1, line = random_.random() < 0.5, random_.choice([0, 0, 1, 4, 7, 64, 300])
        size = random_.choice([1, 3, 4, 17, 256, 700, 1000])
        if line:
            size = max(line, size // line * line)
        stride = line + random_.choice([0, 1, 5, 12])
        near = random_.choice([0, 0, 3, 16, 290]) if timing == "chip" else 0  # the reference knows no lines in L1
        apart = near + random_.choice([0, 1, 7])
        local = random_.randrange(size_l1 - (size if not near else size // near * apart + near))
        outside = random_.randrange(size_l2 - (size if not line else size // line * stride + line))
        moved(memory, to_l1, (local, near, apart), (outside, line, stride), size)
        control = size | to_l1 << 17 | 1 << 18 | bool(line) << 19 | 1 << 20 | bool(near) << 23
        lines = [*([line, stride] if line else []), *([near, apart] if near else [])]
        program.lw(6, 0, 5)
        for word in (control, 0x10000000 + local, DATA + outside, *lines):
            program.li(7, word)
            program.sw(7, 0, 5)
        program.addi(8, asm.ZERO, 1)
        program.word(asm.r_type(0, 1, 8, 8, 6))  # 1 << id
        name = f"wait{program.here}"
        program.label(name)
        program.lw(9, 4, 5)
        program.word(asm.r_type(0, 7, 9, 9, 8))
        program.branch(asm.BNE, 9, asm.ZERO, name)
        program.sw(8, 4, 5)
    asm.leave(program)
    elf = tmp_path / "dma.elf"
    asm.write_elf(
        elf, ENTRY, [(ENTRY, program.assembled()), (0x10000000, begin["l1"]), (DATA, begin["l2"])], program.labels
    )
    with Simulation(elf, SimOptions(timing=timing, max_cycles=10**6)) as simulation:
        result = simulation.run()
        assert result.status == 0, result.error
        assert simulation.read(0x10000000, size_l1) == bytes(memory["l1"])
        assert simulation.read(DATA, size_l2) == bytes(memory["l2"])


def test_dma_outside_the_memories_is_a_fault(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.li(5, DMA)
        program.lw(6, 0, 5)
        for word in (64 | 1 << 17, 0x10000000, 0x1C1FFFF0):
            program.li(7, word)
            program.sw(7, 0, 5)
        program.label("spin")
        program.jump("spin")

    result = run(tmp_path, body, cores=1)
    assert result.status == 3
    assert "DMA transfer outside" in str(result.error)


# --- the two timings differ where they should


def cycles_of(tmp_path: Path, timing: str, words: list[int], count: int = 32, before: list[int] | None = None) -> int:
    """Cycles of core 0 for `count` copies of some instructions, the second time round."""
    program = asm.Program(ENTRY)
    asm.start_cluster(program, "body", 1)
    program.label("body")
    program.li(5, 0x10002000)
    program.word(*(before or []))
    program.addi(20, asm.ZERO, 3)
    program.label("again")
    program.word(asm.i_type(0x73, 2, 10, 0, -0x880 & 0xFFF))  # csrr a0, 0x780
    program.word(*(words * count))
    program.word(asm.i_type(0x73, 2, 11, 0, -0x880 & 0xFFF))
    program.addi(20, 20, -1)
    program.branch(asm.BNE, 20, asm.ZERO, "again")
    program.sw(10, 0, 5)
    program.sw(11, 4, 5)
    asm.leave(program)
    code = program.assembled()
    enable = asm.Program(ENTRY)  # counters on: before everything else of the body
    enable.word(asm.i_type(0x73, 6, 0, 1, 0xCC0 - 0x1000), asm.i_type(0x73, 6, 0, 1, 0xCC1 - 0x1000))
    at = program.labels["body"] - ENTRY
    code = code[:at] + enable.assembled() + code[at:]
    asm.write_elf(tmp_path / "c.elf", ENTRY, [(ENTRY, code)], program.labels)
    with Simulation(tmp_path / "c.elf", SimOptions(timing=timing, max_cycles=10**6)) as simulation:
        assert simulation.run().status == 0
        first, last = struct.unpack("<2I", simulation.read(0x10002000, 8))
    return last - first - 1


MUL = [0x02000033 | 7 << 7 | 8 << 15 | 9 << 20]
DIV_BY_ZERO = [0x02004033 | 7 << 7 | 8 << 15]
CASES = [
    ("add", [asm.r_type(0, 0, 7, 8, 9)], 1, 1),
    ("mul", MUL, 2, 1),
    ("mulh", [0x02001033 | 7 << 7 | 8 << 15 | 9 << 20], 5, 5),
    ("div by zero", DIV_BY_ZERO, 1, 35),
    ("load", [asm.i_type(0x03, 2, 7, 5, 0)], 1, 1),
    ("load and use", [asm.i_type(0x03, 2, 7, 5, 0), asm.r_type(0, 0, 8, 7, 7)], 3, 3),
    ("taken branch", [asm.b_type(asm.BEQ, 0, 4)], 3, 3),
    ("misaligned load", [asm.i_type(0x03, 2, 7, 5, 1)], 2, 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words", "gvsoc", "chip"), CASES)
def test_cycles_per_instruction(tmp_path: Path, name: str, words: list[int], gvsoc: int, chip: int) -> None:
    clear = [asm.i_type(0x13, 0, register, 0, 3) for register in (7, 8, 9)]
    for timing, expected in (("gvsoc", gvsoc), ("chip", chip)):
        few, many = (cycles_of(tmp_path, timing, words, count, clear) for count in (8, 24))
        assert many - few == 16 * expected, f"{name} under {timing}"


# --- views


def test_trace_profile_and_timeline(tmp_path: Path) -> None:
    def body(program: asm.Program) -> None:
        program.label("work")
        program.li(5, 0x10001000)
        program.word(0x0042A30B)  # p.lw t1, 4(t0!)
        program.word(0xB8001057 | 6 << 7 | 6 << 15 | 6 << 20)  # pv.sdotsp.b
        asm.leave(program)

    elf = build(tmp_path / "p.elf", body, cores=1)
    trace, profile, timeline = tmp_path / "trace", tmp_path / "profile", tmp_path / "timeline.json"
    result = simulate(
        elf,
        LIMIT,
        extra=["--trace", str(trace), "--trace-cores", "0", "--profile", str(profile), "--perfetto", str(timeline)],
    )
    assert result.status == 0
    lines = trace.read_text().splitlines()
    assert any("p.lw" in line and "work" in line for line in lines)
    assert any("pv.sdotsp.b" in line for line in lines)
    assert all(line.split()[1] == "0" for line in lines)
    assert "work" in profile.read_text() or "body" in profile.read_text()
    events = json.loads(timeline.read_text())["traceEvents"]
    tracks = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert {"core 0", "core 0 asleep", "DMA to L1", "N-EUREKA", "fabric controller"} <= tracks
    assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")
    assert simulate(elf, LIMIT).cycles == result.cycles, "watching changes nothing"


# --- files


def test_files_that_are_no_programs(tmp_path: Path) -> None:
    good = build(tmp_path / "good.elf", asm.leave).read_bytes()
    broken = {
        "empty": b"", "text": b"hello", "truncated": good[:60], "other machine": good[:18] + b"\x03\x00" + good[20:],
        "segment outside": good[:60] + struct.pack("<II", 0x30000000, 0x30000000) + good[68:],
        "huge segment": good[:72] + struct.pack("<I", 0xFFFFFFF0) + good[76:],
        "beyond the file": good[:56] + struct.pack("<I", 0xFFFFFF00) + good[60:],
    }  # fmt: skip
    for name, content in broken.items():
        path = tmp_path / "broken.elf"
        path.write_bytes(content)
        with pytest.raises(UserError):
            simulate(path)
        with pytest.raises(UserError):
            Simulation(path)
        assert name
    with pytest.raises(UserError):
        simulate(tmp_path / "absent.elf")
