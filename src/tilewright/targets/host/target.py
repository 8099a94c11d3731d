"""The host: one core, two unbounded memories, portable C99."""

from __future__ import annotations

from pathlib import Path

from ..base import Engine, Memory, Target
from . import DESCRIPTION
from .generic import fixed
from .generic_dense import DENSE
from .generic_elementwise import ELEMENTWISE
from .generic_index import INDEX
from .generic_move import MOVE
from .generic_quantize import DIALECT, QUANTIZE
from .generic_reduce import REDUCE
from .integer import INTEGER
from .integer_heads import INTEGER_HEADS
from .language import LANGUAGE
from .linear_tables import LINEAR_TABLES
from .one_call import ONE_CALL
from .pointwise_i8 import POINTWISE_I8
from .product import PRODUCT
from .quantised import QUANTISED
from .vision import VISION

KERNELS = Path(__file__).parent / "kernels"
GENERIC = fixed((*MOVE, *ELEMENTWISE, *REDUCE, *INDEX, *QUANTIZE, *DIALECT, *DENSE))

HOST = Target(
    name="host",
    description=DESCRIPTION,
    memories=(Memory("flash", None, "const", alignment=64), Memory("ram", None, "data", alignment=64)),
    engines=(Engine("cpu", cores=1),),
    kernels=(
        *LANGUAGE,
        *QUANTISED,
        *ONE_CALL,
        *LINEAR_TABLES,
        *VISION,
        *INTEGER,
        *PRODUCT,
        *POINTWISE_I8,
        *GENERIC,
        *INTEGER_HEADS,
    ),
    kernel_folders=(KERNELS,),
    headers=tuple(sorted(path.name for path in KERNELS.glob("*.h"))),
)
