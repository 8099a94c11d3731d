"""What tables take of the scratchpad is what C gives them: the rest of it is planned to the last bytes."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tilewright.cgen.tables import WIDE, words_of, words_of_row
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.target import L1_BYTES, SIRACUSA, STACKS

STRUCTS = [kernel for kernel in SIRACUSA.kernels if kernel.by_struct]
ENDS = 0x40000  # of L1
BEGINS, ALIGNED = 16, 64  # as in runtime/link.ld


def struct_of(kernel: Kernel) -> type[ctypes.Structure]:
    """As a chip of 32 bits has it: pointers are words."""

    class Given(ctypes.Structure):
        _fields_ = [(name, ctypes.c_int64 if ctype in WIDE else ctypes.c_uint32) for ctype, name in kernel.fields]

    return Given


def test_a_struct_takes_what_it_takes_in_c() -> None:
    assert any(ctype in WIDE for kernel in STRUCTS for ctype, _ in kernel.fields)
    for kernel in STRUCTS:
        assert 4 * words_of(kernel) == ctypes.sizeof(struct_of(kernel)), kernel.symbol


@pytest.mark.parametrize("seed", range(20))
def test_so_does_a_row_of_structs_and_pointers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members = [STRUCTS[int(i)] for i in rng.integers(0, len(STRUCTS), rng.integers(0, 7))]
    pointers = int(rng.integers(1, 6))

    class Row(ctypes.Structure):
        _fields_ = [
            *((f"given{i}", struct_of(kernel)) for i, kernel in enumerate(members)),
            *((f"at{i}", ctypes.c_uint32) for i in range(pointers)),
        ]

    assert 4 * words_of_row(members, pointers) == ctypes.sizeof(Row)


def test_tables_buffers_and_stacks_fill_l1_and_no_more() -> None:
    tables = -(-(BEGINS + SIRACUSA.tables) // ALIGNED) * ALIGNED
    assert ENDS - ALIGNED < tables + L1_BYTES + STACKS <= ENDS
