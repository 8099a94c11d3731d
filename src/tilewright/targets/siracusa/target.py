"""Siracusa: a cluster of eight RV32 cores with 256 KiB of L1, L2, and weight memory that cores read directly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base import Dma, Engine, Memory, Overhead, Target
from ..host.target import HOST
from . import DESCRIPTION
from .attention_rows import ATTENTION_ROWS
from .code import CODE
from .decoder import DECODER
from .dense import DENSE
from .fallback import portable
from .floats import FLOATS
from .language import LANGUAGE
from .language_float import LANGUAGE_FLOAT
from .linear_tables import LINEAR_TABLES
from .move import MOVE
from .neureka import NEUREKA
from .neureka_job import TILE, described
from .neureka_rows import BESIDE, DESCRIBE, ISSUE, LATENCY
from .neureka_weights import TAP_INPUTS, TAPS
from .norm import NORM, ONE_ROW, ONE_WEIGHT
from .one_call import ONE_CALL
from .pointwise import POINTWISE
from .product import PRODUCT
from .rows_between import ROWS_BETWEEN
from .rows_linear import ROWS_LINEAR
from .share import CORES as CORES
from .shared_attention import SHARED_ATTENTION
from .vision import VISION

CLOCK_MHZ = 360.0  # assumed: the published figures do not name theirs
FIRST_STACK = 6144  # bytes, in L1: core 0 runs kernels that nobody shares, sampler and tokenizer
CORE_STACK = 2048  # of each other core
STACKS = FIRST_STACK + (CORES - 1) * CORE_STACK
TABLES = 5632  # bytes, in L1: what cores read at every call; the first 16 of L1 are nobody's, the rest begins at 64
L1_BYTES = 0x3FFF0 - STACKS - TABLES
L2_BYTES = 0x1F0000 - (192 << 10)  # the rest is for code, text and the caller's data
WEIGHT_BYTES = 8 << 20
MACS_PER_CYCLE = {"i8": 4.0 * CORES, "u8": 4.0 * CORES, "i16": 2.0 * CORES, "f32": 4.0, "": 1.0 * CORES}
NPU_MACS = {"i8": 1152.0, "u8": 1152.0}  # a cycle, of 36 pixels in 1x1 mode
RUNTIME = Path(__file__).parent / "runtime"
KERNELS = Path(__file__).parent / "kernels"


def _export(compiled: Any, plan: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, str]:
    from .export import export

    return export(compiled, plan, texts)


SIRACUSA = Target(
    name="siracusa",
    description=DESCRIPTION,
    memories=(
        Memory("wmem", WEIGHT_BYTES, "const", alignment=16),
        Memory("l1", L1_BYTES, "data", alignment=16),
        Memory("l2", L2_BYTES, "data", alignment=16),
    ),
    engines=(
        Engine("cpu", CORES, CLOCK_MHZ, MACS_PER_CYCLE, bytes_per_cycle=4.0 * CORES),
        Engine(
            "neureka",
            1,
            CLOCK_MHZ,
            NPU_MACS,
            bytes_per_cycle=32.0,
            queue=2,
            issue=ISSUE,
            describe=DESCRIBE,
            latency=LATENCY,
            beside=BESIDE,
            rows=TILE * TILE,
            inputs=TAPS * TAP_INPUTS,
            jobs=described,
        ),
    ),
    kernels=(
        *NEUREKA,
        *DENSE,
        *PRODUCT,
        *ONE_CALL,
        *LINEAR_TABLES,
        *POINTWISE,
        *ONE_WEIGHT,
        *NORM,
        *ONE_ROW,
        *MOVE,
        *ATTENTION_ROWS,
        *ROWS_BETWEEN,
        *ROWS_LINEAR,
        *DECODER,
        *FLOATS,
        *SHARED_ATTENTION,
        *LANGUAGE,
        *LANGUAGE_FLOAT,
        *VISION,
        *map(portable, HOST.kernels),
    ),
    kernel_folders=(KERNELS, *HOST.kernel_folders),
    headers=(*sorted(path.name for path in KERNELS.glob("*.h")), *HOST.headers),
    language_quant="int8",
    language_chunk=64,
    scratchpad="l1",
    tables=TABLES - 16,
    # beside eight busy cores; a start's code has to be fetched
    dma=Dma(issue=40.0, block=11.0, queue=10, latency=18.0, bytes_per_cycle=7.5, width=8, burst=256),
    overhead=Overhead(barrier=12.0, wait=10.0, phase=8.0, argument=1.2, turn=6.0),
    code=CODE,
    export=_export,
)
