"""Names of the model in C."""

from __future__ import annotations

import re

from tilewright.api import compile_file
from tilewright.cgen.layout import comment, wide
from tilewright.cgen.names import role, short
from tilewright.cgen.project import files
from tilewright.options import Options


def test_buffers_of_a_node_carry_its_name() -> None:
    assert short("blocks.3.gate") == role("blocks.3.gate") == "gate"
    assert role("blocks.3.gate.constants") == "gate_constants"
    assert role("blocks.3.after_ffn.6.scratch") == "after_ffn_scratch"
    assert role("constants") == "constants"


def test_comments_in_loops_tell_the_block_of_a_round() -> None:
    assert comment(["blocks.0.swiglu.2"], 0, loop=True) == "/* blocks.i.swiglu.2 */"
    assert comment(["blocks.1.q.1", "blocks.1.q.1"], 0, loop=True) == "/* blocks.i+1.q.1 */"
    assert comment(["blocks.1.q.1"], 0, loop=False) == "/* blocks.1.q.1 */"
    assert comment(["PASS_7_Shift.1"], 0, loop=True) == "/* PASS_7_Shift.1 */"


def test_large_numbers_are_hexadecimal() -> None:
    assert [wide(n) for n in (0, -128, 4256, 0x10201038, -0x10400000)] == [
        "0", "-128", "4256", "0x10201038", "-0x10400000"
    ]  # fmt: skip
    assert wide(-(2**31)) == "(-2147483647 - 1)"


def test_a_member_of_one_buffer_has_its_whole_name() -> None:
    """What layers share has the name that they have in common."""
    made = files(compile_file("tinystories", "siracusa", Options()))
    members = set(re.findall(r" v\[\d+\]; } (\w+);", made["tinystories.c"]))
    assert {f"blocks_{i}_attn_in_constants" for i in range(8)} <= members
    assert {"x", "ffn_in", "logits_constants"} <= members
