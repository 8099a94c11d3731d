"""Operators: one file per family. Importing this package registers them all."""

from .attention import Append, Attention, QuantisedAttention
from .conv import Conv2D, DepthwiseConv2D, ResidualConv2D
from .dialect import (
    IntegerAffine,
    IntegerDivide,
    IntegerGELU,
    IntegerHardswish,
    IntegerLayerNorm,
    IntegerRMSNorm,
    IntegerSoftmax,
    ShiftSoftmax,
)
from .elementwise import Binary, Cast, Select, Unary
from .embed import Embed, QuantisedEmbed, Row, RowsAt
from .enter_heads import EnterHeads
from .epilogue import Clamp, Epilogue, Requantise
from .index import Gather, GatherElements, GatherND, Scatter, TopK
from .integer_attention import IntegerAttention
from .linear import Linear, LinearAdd
from .linear_tables import FirstSums, LinearGate, LinearJoin, RestJoin
from .matmul import MatMul
from .move import Columns, Concat, Copy, Expand, Pad, Reshape, Slice, Transpose, Windows
from .new_heads import NewHeads
from .norm import LayerNorm, QuantisedRMSNorm, RMSNorm
from .one_call import GatedLinear
from .pointwise import Add, QuantisedSwiGLU, Saturate, SwiGLU
from .pool import AveragePool2D, MaxPool2D
from .quantize import Dequantize, LookUp, Quantize, QuantizedAdd, QuantizedMul, Requant
from .reduce import ArgReduce, Cumulative, Reduce, Softmax
from .requantised import TableBinary, TablePairs
from .rope import QuantisedRoPE, RoPE
from .rotate import RotateHeads
from .sums import GatedSums, RestAdd, ScaledAdd
from .turned_heads import TurnedHeads
from .weight_only import WeightOnlyEmbed, WeightOnlyLinear

__all__ = [
    "Add",
    "Append",
    "ArgReduce",
    "Attention",
    "AveragePool2D",
    "Binary",
    "Cast",
    "Clamp",
    "Columns",
    "Concat",
    "Conv2D",
    "Copy",
    "Cumulative",
    "DepthwiseConv2D",
    "Dequantize",
    "Embed",
    "EnterHeads",
    "Epilogue",
    "Expand",
    "FirstSums",
    "GatedLinear",
    "GatedSums",
    "Gather",
    "GatherElements",
    "GatherND",
    "IntegerAffine",
    "IntegerAttention",
    "IntegerDivide",
    "IntegerGELU",
    "IntegerHardswish",
    "IntegerLayerNorm",
    "IntegerRMSNorm",
    "IntegerSoftmax",
    "LayerNorm",
    "Linear",
    "LinearAdd",
    "LinearGate",
    "LinearJoin",
    "LookUp",
    "MatMul",
    "MaxPool2D",
    "NewHeads",
    "Pad",
    "QuantisedAttention",
    "QuantisedEmbed",
    "QuantisedRMSNorm",
    "QuantisedRoPE",
    "QuantisedSwiGLU",
    "Quantize",
    "QuantizedAdd",
    "QuantizedMul",
    "RMSNorm",
    "Reduce",
    "Requant",
    "Requantise",
    "Reshape",
    "ResidualConv2D",
    "RestAdd",
    "RestJoin",
    "RoPE",
    "RotateHeads",
    "Row",
    "RowsAt",
    "Saturate",
    "ScaledAdd",
    "Scatter",
    "Select",
    "ShiftSoftmax",
    "Slice",
    "Softmax",
    "SwiGLU",
    "TableBinary",
    "TablePairs",
    "TopK",
    "Transpose",
    "TurnedHeads",
    "Unary",
    "WeightOnlyEmbed",
    "WeightOnlyLinear",
    "Windows",
]
