"""A model of every instruction of Siracusa's cores: RV32IMFC, Zicsr's registers excepted, and XpulpV2.

Written from the published encodings and the architecture manuals, independent of the simulator: the tests compare both.
It is an interpreter of machine words, slow and plain: one row per encoding, one small function per meaning.
"""

from __future__ import annotations

from isa_base import base, multiply, single_float
from isa_machine import Instruction, Machine
from isa_nn import NN_TABLE
from isa_pulp import pulp_control, pulp_memory, pulp_products, pulp_scalar
from isa_simd import pulp_simd

TABLE = (
    *base(), *multiply(), *single_float(),
    *pulp_memory(), *pulp_control(), *pulp_scalar(), *pulp_products(), *pulp_simd(),
)  # fmt: skip


def by_key(table: tuple[Instruction, ...]) -> dict[int, list[Instruction]]:
    """Rows by the fields that most of them fix: opcode and funct3."""
    words = {key: (key & 31) << 2 | 3 | (key >> 5) << 12 for key in range(1 << 8)}
    return {key: [row for row in table if (word ^ row.match) & row.mask & 0x707F == 0] for key, word in words.items()}


BY_KEY = by_key((*TABLE, *NN_TABLE))


def decode(word: int) -> Instruction:
    """The row that matches a 32-bit word; where two match, the first holds."""
    for row in BY_KEY[word >> 2 & 31 | (word >> 12 & 7) << 5]:
        if word & row.mask == row.match:
            return row
    raise ValueError(f"illegal instruction {word:#010x}")


def machine(memory: bytearray, base_address: int, pc: int) -> Machine:
    """A machine that knows the table; `memory` begins at `base_address`."""
    return Machine(memory, base_address, pc, decode=decode)
