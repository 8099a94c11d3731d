"""Rows for N-EUREKA, the chip's engine for products and convolutions: it reads weights from weight memory by itself."""

from __future__ import annotations

from .neureka_conv import CONVOLUTIONS
from .neureka_gemv import PRODUCTS

NEUREKA = (*PRODUCTS, *CONVOLUTIONS)
