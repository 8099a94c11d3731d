"""Every function of tw_xpulp.h does on the chip what its plain C says elsewhere."""

from __future__ import annotations

import ctypes
import re
import subprocess
from itertools import product
from pathlib import Path

import numpy as np

from tilewright.interp.native import FLAGS, ZIG
from tilewright.ir.types import Array
from tilewright.sim import SimOptions, Simulation
from tilewright.targets.siracusa.build import compile_sources, link, runtime
from tilewright.targets.siracusa.target import KERNELS, RUNTIME

COUNT = 64  # operands of each function
EDGES = [0, -1, 1, 0x7FFFFFFF, -0x80000000, 0x7F, 0x80, -128, 0x7FFF, -0x8000, 0x00FF00FF]
SHIFTS, LANES, HALVES = (0, 1, 9, 31), (0, 1, 2, 3), (0, 1)
FIELDS = ((1, 0), (8, 8), (13, 5), (31, 1), (5, 27))
HEADER = (KERNELS / "tw_xpulp.h").read_text()


def names(macro: str) -> list[str]:
    """What a macro of the header defines."""
    return re.findall(rf"^{macro}\((tw_\w+)", HEADER, re.MULTILINE)


def calls() -> list[str]:
    """An expression over a, b, y and `high` (0 .. 2^20) for every function, with every sort of constant."""
    one = [f"{f}(a)" for f in (*names("TW_X1"), *names("TW_VABS"))]
    two = [f"{f}(a, {'high' if 'clip' in f else 'b'})" for f in names("TW_X2")]
    three = [f"{f}(y, a, b)" for f in (*names("TW_X3"), "tw_vshuffle2_b", "tw_vshuffle2_h")]
    dots = re.findall(r"^TW_XDOT\((\w+)", HEADER, re.MULTILINE)
    two += [f"tw_vdot{f}(a, b)" for f in dots]
    three += [f"tw_vsdot{f}(y, a, b)" for f in dots]
    lanewise = [*names("TW_XS"), *names("TW_XU")]
    two += [f"{f}_{kind}(a, b)" for f, kind in product(lanewise, ("b", "h", "sc_b", "sc_h"))]
    constant = [f"{f}(a, b, {n})" for f, n in product(names("TW_XN"), SHIFTS)]
    constant += [f"{f}(y, a, b, {n})" for f, n in product(names("TW_XM"), SHIFTS)]
    constant += [f"{f}(a, {bits})" for f, bits in product(names("TW_PCLIP"), (1, 8, 16, 31))]
    constant += [f"{f}(a, {w}, {at})" for f, (w, at) in product(names("TW_PFIELD"), FIELDS)]
    constant += [f"tw_pinsert(y, a, {w}, {at})" for w, at in FIELDS]
    constant += [f"{f}(a, {i})" for f in names("TW_VLANE") for i in (LANES if f.endswith("b") else HALVES)]
    constant += [f"{f}(y, a, {i})" for f in names("TW_VPUT") for i in (LANES if f.endswith("b") else HALVES)]
    return [*one, *two, *three, *constant, "tw_bytes_of(a, b, y, high)"]


def source() -> str:
    """C: the functions on all operands, then loads and stores that move on."""
    lines = ['#include "tw_xpulp.h"', "void run(const int32_t *in, int32_t *out);"]
    lines += ["void run(const int32_t *in, int32_t *out)", "{", f"    for (int i = 0; i < {COUNT}; i++) {{"]
    lines += [f"        int32_t {v} = in[{k * COUNT} + i];" for k, v in enumerate(("a", "b", "y", "high"))]
    lines += [f"        out[{k * COUNT} + i] = {call};" for k, call in enumerate(calls())]
    lines += ["    }", f"    out += {len(calls()) * COUNT};"]
    for kind, step in (("i8", 3), ("u8", -1), ("i16", 2), ("u16", -6), ("i32", 8)):
        signed = kind.replace("u", "i")
        lines.append(f"    {{ const {'u' if kind[0] == 'u' else ''}int{kind[1:]}_t *p = (const void *)(in + 20);")
        lines.append(f"      int{signed[1:]}_t *q = (void *)out;")
        lines.append(f"      tw_put_{signed}(&q, tw_take_{kind}(&p, {step}), {step + 8});")
        lines.append(f"      tw_put_{signed}(&q, tw_take_{kind}(&p, {step}), {step});")
        lines.append("      out[8] = (int32_t)((const char *)p - (const char *)in);")
        lines.append("      out[9] = (int32_t)((const char *)q - (const char *)out); out += 10; }")
    return "\n".join([*lines, "}", ""])


def operands() -> Array:
    rng = np.random.default_rng(7)
    words = rng.integers(-(1 << 31), 1 << 31, (3, COUNT), np.int64)
    words[0, : len(EDGES)], words[1, : len(EDGES)] = EDGES, EDGES[::-1]
    words[1, 20:40] &= 0x07070707  # lanes of shuffles, small shifts
    return np.concatenate([words, rng.integers(0, 1 << 20, (1, COUNT), np.int64)]).astype(np.int32)


def test_every_function_of_the_header_is_tried() -> None:
    tried = set(re.findall(r"tw_\w+(?=\()", source()))
    defined = set(re.findall(r"(?<!\.)\btw_\w+(?!\w|\.)", HEADER))
    assert defined - {*names("TW_XS"), *names("TW_XU"), "tw_vdot", "tw_vsdot"} <= tried


def test_the_chip_agrees_with_plain_c(tmp_path: Path) -> None:
    file, given = tmp_path / "functions.c", operands()
    file.write_text(source())
    size = COUNT * len(calls()) + 50
    library = tmp_path / "functions.so"
    flags = [f for f in FLAGS if f != "-Wmissing-prototypes"]
    subprocess.run([*ZIG, *flags, "-O1", "-shared", "-fPIC", f"-I{KERNELS}", str(file), "-o", str(library)], check=True)
    plain = np.zeros(size, np.int32)
    ctypes.CDLL(str(library)).run(ctypes.c_void_p(given.ctypes.data), ctypes.c_void_p(plain.ctypes.data))
    program = tmp_path / "program.c"
    program.write_text(
        '#include "siracusa.h"\nvoid run(const int32_t *in, int32_t *out);\n'
        f'int32_t tw_in[{given.size}] __attribute__((section(".data"))) = {{1}}, tw_out[{size}];\n'
        "void tw_program(int core)\n{\n    if (core == 0)\n        run(tw_in, tw_out);\n}\n"
    )
    includes = [RUNTIME, RUNTIME / "include", KERNELS]
    objects = compile_sources([file, program], includes, tmp_path)
    elf = link([*objects, *runtime(includes, tmp_path)], "", "", tmp_path / "functions.elf")
    with Simulation(elf, SimOptions(timing="gvsoc")) as chip:
        chip.write("tw_in", given.tobytes())
        assert chip.run(10_000_000).ok
        got = np.frombuffer(chip.read("tw_out", 4 * size), np.int32)
    for k, call in enumerate(calls()):
        np.testing.assert_array_equal(got[k * COUNT : (k + 1) * COUNT], plain[k * COUNT : (k + 1) * COUNT], call)
    np.testing.assert_array_equal(got, plain)
