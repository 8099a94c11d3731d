"""Every instruction of the cores against the Python model, on thousands of random and chosen operands.

A program of many snippets runs in the simulator and in the model: each snippet sets registers, executes one instruction
and stores what it changed. Both memories must agree; the simulator's is printed by the program itself, word by word.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

import assembler as asm
import compressed
import isa_machine as isa
import isa_model
import isa_nn
import pytest
from shared import encodings, run, simulate

CODE, SCRATCH, RESULTS, END = 0x1C010000, 0x1C100000, 0x1C140000, 0x1C180000
FREE = [1, 2, *range(5, 32)]  # x3 points to the results
CORNERS = [
    0, 1, 2, 7, 8, 15, 16, 30, 31, 32, 33, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF,
    0x80000000, 0x80000001, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFF80, 0xFFFF8000, 0x7F7F7F7F, 0x80808080, 0x80007FFF,
    0x7FFF8000, 0x00FF00FF, 0x03020100, 0x04050607, 0x3E0, 0x3FF,
]  # fmt: skip
FLOATS = [
    0, 0x80000000, 1, 0x80000001, 0x7FFFFF, 0x800000, 0x3F800000, 0xBF800000, 0x3F000000, 0x3FC00000, 0x40200000,
    0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x4F000000, 0xCF000000, 0x4F7FFFFF,
    0x4F800000, 0x4EFFFFFF, 0xBF000000, 0x3F7FFFFF,
]  # fmt: skip


@dataclass
class Batch:
    """A program under construction: scratch memory of loads and stores at SCRATCH, one word per result at RESULTS."""

    rng: random.Random
    program: asm.Program = field(default_factory=lambda: asm.Program(CODE))
    scratch: bytearray = field(default_factory=bytearray)
    notes: list[str] = field(default_factory=list)  # what each scratch word, then each result word, belongs to
    scratch_notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        asm.start_cluster(self.program, "cluster")
        self.program.label("cluster")
        self.program.li(asm.GP, RESULTS)

    def value(self) -> int:
        return self.rng.choice([self.rng.choice(CORNERS), self.rng.getrandbits(32), self.rng.getrandbits(32)])

    def float_value(self) -> int:
        near_one = self.rng.getrandbits(32) & 0x83FFFFFF | 0x3C000000
        return self.rng.choice([self.rng.choice(FLOATS), self.rng.getrandbits(32), near_one])

    def registers(self, count: int) -> list[int]:
        """Distinct registers."""
        return self.rng.sample(FREE, count)

    def keep(self, register: int, note: str) -> None:
        """Store an integer register as a result."""
        self.program.sw(register, 0, asm.GP)
        self.program.addi(asm.GP, asm.GP, 4)
        self.notes.append(note)

    def keep_float(self, register: int, note: str) -> None:
        self.program.word(asm.s_type(0x27, 2, asm.GP, register, 0))
        self.program.addi(asm.GP, asm.GP, 4)
        self.notes.append(note)

    def scratch_words(self) -> int:
        """The address of eight fresh random words."""
        address = SCRATCH + len(self.scratch)
        self.scratch += self.rng.randbytes(32)
        self.scratch_notes += [f"scratch of snippet before result {len(self.notes)}"] * 8
        return address

    def set(self, values: dict[int, int]) -> None:
        for register, value in values.items():
            if register:
                self.program.li(register, value)


def with_fields(row: isa.Instruction, rng: random.Random, **fields: int) -> int:
    """The row's word with rd, rs1, rs2, rs3 and random bits elsewhere, as far as the mask leaves them free."""
    word = rng.getrandbits(32)
    for name, value in fields.items():
        at, width = {"rd": (7, 5), "rs1": (15, 5), "rs2": (20, 5), "rs3": (27, 5), "top12": (20, 12), "top7": (25, 7)}[
            name
        ]
        mask = ((1 << width) - 1) << at
        word = word & ~mask | value << at & mask
    return row.match | word & ~row.mask & isa.MASK32


def add_integer(batch: Batch, row: isa.Instruction) -> None:
    """Register and immediate forms: rd, rs1, rs2 all random, equal ones and x0 included."""
    pool = [0, *batch.registers(3)]
    rd, rs1, rs2 = (batch.rng.choice(pool) for _ in range(3))
    values = {register: batch.value() for register in {rd, rs1, rs2}}
    batch.set(values)
    fields = {"rd": rd, "rs1": rs1}
    if row.form == "r":
        fields["rs2"] = rs2
    elif row.form in ("shift", "clip", "bits", "n") and batch.rng.random() < 0.5:
        fields["rs2"] = batch.rng.choice([0, 1, 31]) if row.form != "n" else rs2
    elif row.form == "n":
        fields["rs2"] = rs2
    if row.form == "n" and batch.rng.random() < 0.4:
        fields["top7"] = batch.rng.choice([0, 1, 31])
    if row.form == "lane_index":
        fields["top7"] = batch.rng.getrandbits(1)
        fields["rs2"] = batch.rng.getrandbits(1)
    word = with_fields(row, batch.rng, **fields)
    batch.program.word(word)
    note = f"{row.name} {word:#010x} rd x{rd} rs1 x{rs1} rs2 x{rs2} with " + ", ".join(
        f"x{r}={v:#x}" for r, v in values.items()
    )
    batch.keep(rd, note)
    if row.form == "jalr":
        batch.keep(rs1, note)


def add_memory(batch: Batch, row: isa.Instruction) -> None:
    """Loads and stores inside eight random words, any alignment; all words are results."""
    rng, address = batch.rng, batch.scratch_words() + batch.rng.randrange(0, 28)
    rd, rs1, rs2 = batch.registers(3)
    post, indexed, is_store = "post" in row.name, "reg" in row.form, "store" in row.form
    if rng.random() < 0.25:
        rd, rs2 = (rs1, rs2) if not is_store or post else (rd, rs1)
    if is_store and post and rng.random() < 0.25:
        rs2 = rs1
    offset = rng.choice([batch.value(), rng.randrange(-2048, 2048)]) if indexed else rng.randrange(-2048, 2048)
    values = {rd: batch.value(), rs2: batch.value(), rs1: address if post else address - offset}
    fields = {"rd": rd, "rs1": rs1, "rs2": rs2}
    if indexed:
        register = rd if is_store else rs2
        if register != rs1:
            values[register] = offset
        elif not post:
            return
    elif is_store:
        fields |= {"rd": offset & 31, "top7": offset >> 5 & 127}
    else:
        fields["top12"] = offset & 0xFFF
        del fields["rs2"]
    if row.form.startswith("f_"):
        fields["rd" if row.form == "f_load" else "rs2"] = rng.randrange(32)
        batch.program.li(30 if rs1 != 30 else 29, batch.value())
        batch.program.word(0xF0000053 | (30 if rs1 != 30 else 29) << 15 | fields.get("rs2", 1) << 7)
    batch.set(values)
    word = with_fields(row, rng, **fields)
    batch.program.word(word)
    note = f"{row.name} {word:#010x} with " + ", ".join(f"x{r}={v & isa.MASK32:#x}" for r, v in values.items())
    if row.form == "f_load":
        batch.keep_float(fields["rd"], note)
    elif not is_store:
        batch.keep(rd, note)
    batch.keep(rs1, note)


def add_branch(batch: Batch, row: isa.Instruction) -> None:
    """Jumps and branches over two instructions, forwards and backwards."""
    program, rng = batch.program, batch.rng
    rd, rs1, rs2, mark = batch.registers(4)
    backwards = rng.random() < 0.5
    offset = -8 if backwards else 12
    values = {rs1: batch.value(), rs2: batch.value(), mark: 0}
    if rng.random() < 0.4:
        values[rs2] = values[rs1]
    if row.form == "branch_imm":
        rs2 = rng.randrange(32)
        values[rs1] = rng.choice([isa.signed(rs2, 5) & isa.MASK32, values[rs1]])
    batch.set(values)
    if row.form == "jalr":
        low = rng.randrange(-2048, 2048)
        at = program.here + 8 + (12 if backwards else 0)  # behind li, and behind the backward landing place
        program.li(rs1, at + offset - low)
        word = with_fields(row, rng, rd=rd, rs1=rs1, top12=low & 0xFFF)
    elif row.form == "jal":
        word = asm.j_type(rd, offset)
    else:
        word = row.match & 0x707F | asm.b_type(0, rs1, offset, rs2)
    if backwards:
        program.word(asm.j_type(0, 12))
        program.addi(mark, mark, 1)
        program.word(asm.j_type(0, 16))
    program.word(word)
    for amount in (2, 4):
        program.addi(mark, mark, amount)
    if backwards:
        program.word(isa_nop())
    note = f"{row.name} {word:#010x} offset {offset} with " + ", ".join(f"x{r}={v:#x}" for r, v in values.items())
    batch.keep(mark, note)
    if row.form in ("jal", "jalr"):
        batch.keep(rd, note)


def isa_nop() -> int:
    return asm.i_type(0x13, 0, 0, 0, 0)


def add_float(batch: Batch, row: isa.Instruction) -> None:
    """Float operands through integer registers; rounding to nearest even, conversions to integer in every mode."""
    program, rng = batch.program, batch.rng
    sources = [rng.randrange(32) for _ in range(4)]
    rd, rs1, rs2, rs3 = sources
    note = [f"{row.name}"]
    for register in {rs1, rs2, rs3}:
        value = batch.float_value()
        program.li(5, value)
        program.word(0xF0000053 | 5 << 15 | register << 7)
        note.append(f"f{register}={value:#010x}")
    integer_in, integer_out = row.form in ("int_to_f", "x_to_f"), row.form in ("f_cmp", "f_to_int", "f_to_x")
    if integer_in:
        rs1 = batch.registers(1)[0]
        value = batch.value()
        program.li(rs1, value)
        note.append(f"x{rs1}={value:#x}")
    if integer_out:
        rd = batch.registers(1)[0]
    word = with_fields(row, rng, rd=rd, rs1=rs1, rs2=rs2, rs3=rs3)
    if not row.mask >> 12 & 7:  # a rounding mode
        modes = [0, 1, 2, 3, 4, 7] if row.form == "f_to_int" else [0, 7]
        word = word & ~0x7000 | rng.choice(modes) << 12
    program.word(word)
    text = " ".join(note) + f" {word:#010x}"
    if integer_out:
        batch.keep(rd, text)
    else:
        batch.keep_float(rd, text)


def add_loops(batch: Batch) -> None:
    """Two nested hardware loops: any counts, bodies of one instruction, both ending on the same one."""
    program, rng = batch.program, batch.rng
    outer_count, inner_count = rng.randrange(5), rng.randrange(5)
    before, inner, after = rng.randrange(3), rng.randrange(1, 4), rng.randrange(3)
    a, b, c, count = batch.registers(4)
    style = rng.choice(["setup", "setupi", "parts"])
    batch.set({a: 1, b: 1, c: 1})
    inner_setup = {"setup": 2, "setupi": 1, "parts": 4}[style]
    body = before + inner_setup + inner + after
    program.addi(count, asm.ZERO, outer_count)
    program.word(loop_word(4, 1, count, 2 * body))
    for _ in range(before):
        program.word(0x42000033 | a << 15 | a << 20 | c << 7)  # c += a * a
    loop_setup(batch, style, count, inner_count, inner)
    for _ in range(inner):
        program.addi(a, a, 1)
    for _ in range(after):
        program.word(asm.r_type(0, 0, b, b, a))
    for register, what in ((a, "inner"), (b, "after"), (c, "before")):
        batch.keep(
            register,
            f"loops {style}: outer {outer_count}, inner {inner_count}, bodies {before} {inner} {after}: {what}",
        )


def loop_word(funct3: int, index: int, rs1: int, top12: int) -> int:
    return top12 << 20 | rs1 << 15 | funct3 << 12 | index << 7 | 0x7B


def loop_setup(batch: Batch, style: str, count: int, times: int, body: int) -> None:
    """Loop 0 over the next `body` instructions."""
    program = batch.program
    if style == "setupi":
        program.word(loop_word(5, 0, 2 * body, times))
    elif style == "setup":
        program.addi(count, asm.ZERO, times)
        program.word(loop_word(4, 0, count, 2 * body))
    else:
        program.word(loop_word(0, 0, 0, 8), loop_word(1, 0, 0, 2 * (body + 2)))
        program.addi(count, asm.ZERO, times)
        program.word(loop_word(2, 0, count, 0) if times % 2 else loop_word(3, 0, 0, times))


def add_compressed(batch: Batch) -> None:
    """A legal 16-bit instruction, between halves so that later words are not aligned."""
    program, rng = batch.program, batch.rng
    while True:
        half = rng.getrandbits(16)
        if half & 3 == 3:
            continue
        try:
            word = compressed.expand(half)
        except ValueError:
            continue
        if word & 0x7F in (0x13, 0x33, 0x37) and word >> 7 & 31 not in (3,):
            break
        if word & 0x7F in (0x03, 0x23) and word >> 20 & 31 != 3 and word >> 7 & 31 != 3 and word >> 15 & 31 != 3:
            break
    fields = isa.Word(word)
    values = {register: batch.value() for register in {fields.rd, fields.rs1, fields.rs2}}
    if word & 0x7F in (0x03, 0x23):
        values[fields.rs1] = batch.scratch_words() - (fields.imm_i if word & 0x7F == 0x03 else fields.imm_s)
    values.pop(3, None)
    if fields.rs1 == 3 or (word & 0x7F == 0x33 and fields.rs2 == 3):
        return
    batch.set(values)
    program.half(half)
    if rng.random() < 0.5:
        program.half(0x0001)
    if fields.rd not in (0, 3) and word & 0x7F != 0x23:
        batch.keep(fields.rd, f"compressed {half:#06x} ({word:#010x}) with {values}")


def add_mac_loads(batch: Batch, row: isa.Instruction) -> None:
    """Six MACs with load in a row over the special registers, walking through random words."""
    rng, (rd, rs1) = batch.rng, batch.registers(2)
    batch.set({rd: batch.value(), rs1: batch.scratch_words()})
    for _ in range(6):
        batch.program.word(with_fields(row, rng, rd=rd, rs1=rs1))
    batch.keep(rd, f"{row.name}: six in a row, sum")
    batch.keep(rs1, f"{row.name}: six in a row, address")


def fill_nn(batch: Batch, repeats: int) -> None:
    for row in isa_nn.NN_TABLE:
        for _ in range(repeats):
            if row.form == "mlsdot":
                add_mac_loads(batch, row)
            else:
                add_integer(batch, row)


INTEGER_FORMS = {"r", "r1", "i", "u", "shift", "clip", "bits", "n", "lane_s", "lane_u", "lane_index"}
MEMORY_FORMS = {"load", "store", "load_post", "load_reg", "store_post", "store_reg"}
BRANCH_FORMS = {"branch", "branch_imm", "jal", "jalr"}


def fill(batch: Batch, group: str, repeats: int) -> None:
    """The snippets of a group of instructions."""
    for row in isa_model.TABLE:
        for _ in range(repeats):
            if (
                row.form in INTEGER_FORMS
                and (row.match & 0x7F == 0x57) == (group == "simd")
                and group in ("simd", "scalar")
            ):
                add_integer(batch, row)
            elif row.form in MEMORY_FORMS | {"f_load", "f_store"} and group == "memory":
                add_memory(batch, row)
            elif row.form in BRANCH_FORMS and group == "control":
                add_branch(batch, row)
            elif (
                row.form.startswith(("f", "int_to_f", "x_to_f"))
                and "load" not in row.form
                and "store" not in row.form
                and group == "float"
            ):
                add_float(batch, row)
    if group == "control":
        for _ in range(40 * repeats):
            add_loops(batch)
    if group == "compressed":
        for _ in range(60 * repeats):
            add_compressed(batch)


def run_model(image: bytes, batch: Batch, until: int) -> list[int]:
    """The scratch words, then the results, that the model leaves."""
    memory = bytearray(END - CODE)
    memory[: len(image)] = image
    memory[SCRATCH - CODE : SCRATCH - CODE + len(batch.scratch)] = batch.scratch
    isa_model.machine(memory, CODE, batch.program.labels["cluster"]).run(until)
    ranges = ((SCRATCH, len(batch.scratch)), (RESULTS, 4 * len(batch.notes)))
    return [
        word for base, size in ranges for (word,) in struct.iter_unpack("<I", memory[base - CODE : base - CODE + size])
    ]


def differences(batch: Batch, path: Path, *options: str) -> list[str]:
    """Run the batch in both; a line per word that differs."""
    program = batch.program
    until = program.here
    if batch.scratch:
        asm.print_words(program, SCRATCH, SCRATCH + len(batch.scratch), "scratch")
    asm.print_words(program, RESULTS, RESULTS + 4 * len(batch.notes), "results")
    asm.leave(program)
    image = program.assembled()
    want = run_model(image, batch, until)
    asm.write_elf(path, CODE, [(CODE, image), (SCRATCH, bytes(batch.scratch))], dict(program.labels))
    got = [int(line, 16) for line in simulate(path, *options).split()]
    assert len(got) == len(want)
    notes = batch.scratch_notes + batch.notes
    return [
        f"{note}: simulator {g:#010x}, model {w:#010x}" for note, g, w in zip(notes, got, want, strict=True) if g != w
    ]


GROUPS = {"scalar": 100, "simd": 60, "memory": 120, "control": 60, "float": 150, "compressed": 60}


def check_group(group: str, seed: str, path: Path) -> None:
    batch = Batch(random.Random(f"{group} {seed}"))
    fill(batch, group, GROUPS[group])
    wrong = differences(batch, path)
    assert not wrong, f"{len(wrong)} of {len(batch.notes)} results differ\n" + "\n".join(wrong[:20])


@pytest.mark.parametrize("group", GROUPS)
def test_every_instruction_does_what_the_model_says(group: str, tmp_path: Path) -> None:
    check_group(group, "instructions", tmp_path / f"{group}.elf")


@pytest.mark.full
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("group", GROUPS)
def test_every_instruction_many_times(group: str, seed: int, tmp_path: Path) -> None:
    check_group(group, str(seed), tmp_path / f"{group}.elf")


def test_the_optional_instructions_need_their_option(tmp_path: Path) -> None:
    batch = Batch(random.Random("instructions nn"))
    fill_nn(batch, 30)
    wrong = differences(batch, tmp_path / "nn.elf", "--xpulpnn")
    assert not wrong, f"{len(wrong)} of {len(batch.notes)} results differ\n" + "\n".join(wrong[:20])
    without = run(tmp_path / "nn.elf")
    assert without.returncode == 3
    assert "illegal" in without.stderr


def test_every_group_reaches_every_encoding() -> None:
    forms = INTEGER_FORMS | MEMORY_FORMS | BRANCH_FORMS | {"loop"}
    floats = {"f_load", "f_store", "fr", "fr1", "fr4", "fr_exact", "f_cmp", "f_to_int", "int_to_f", "f_to_x", "x_to_f"}
    assert {row.form for row in isa_model.TABLE} <= forms | floats


def test_the_model_covers_the_table_of_encodings() -> None:
    rows = encodings()
    missing = [name for name, match, _ in rows if name != "p.elw" and not covers(match)]
    assert not missing
    known = {(match, mask) for _, match, mask in rows}
    assert [
        row.name
        for row in isa_model.TABLE
        if row.name.startswith(("p.", "pv.", "lp.")) and (row.match, row.mask) not in known
    ] == []


def covers(match: int) -> bool:
    try:
        return isa_model.decode(match).name.startswith(("p.", "pv.", "lp."))
    except ValueError:
        return False


@pytest.mark.parametrize("name", ["p.clip", "pv.avg.b", "p.macsNR", "pv.sdotusp.h.sc", "p.lh.post", "pv.shuffle2.b"])
def test_a_wrong_instruction_is_noticed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change one instruction of the model: the comparison has to fail, and to name it."""

    def mutate(row: isa.Instruction) -> isa.Instruction:
        def execute(machine: isa.Machine, word: isa.Word) -> None:
            row.execute(machine, word)
            machine.set(word.rd, machine.x[word.rd] ^ 1)

        return replace(row, execute=execute) if row.name == name else row

    for key, entries in list(isa_model.BY_KEY.items()):
        monkeypatch.setitem(isa_model.BY_KEY, key, [mutate(row) for row in entries])
    batch = Batch(random.Random(f"mutation {name}"))
    add = add_memory if name.startswith("p.lh") else add_integer
    for _ in range(4):
        add(batch, next(row for row in isa_model.TABLE if row.name == name))
    assert any(name in line for line in differences(batch, tmp_path / "mutated.elf"))
