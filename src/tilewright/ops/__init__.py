"""Operators: one file per family. Importing this package registers them all."""

from .attention import Append, Attention
from .embed import Embed, Row
from .linear import Linear
from .norm import RMSNorm
from .pointwise import Add, SwiGLU
from .rope import RoPE

__all__ = ["Add", "Append", "Attention", "Embed", "Linear", "RMSNorm", "RoPE", "Row", "SwiGLU"]
