"""ONNX's Resize: along each axis a choice of rows (nearest) or a linear map with a constant matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..ir.types import Array, Value
from .onnx_import import Converter, Importer, OnnxNode, Results
from .onnx_shape import taken, weighted

Coordinate = Callable[[Array, float, int, int], Array]  # index of the result, scale, extents of operand and result


def _half_pixel_symmetric(i: Array, scale: float, size: int, out: int) -> Array:
    adjustment = out / (size * scale)
    centre = size / 2
    return centre * (1 - adjustment) + (i + 0.5) / scale - 0.5


COORDINATES: dict[str, Coordinate] = {
    "half_pixel": lambda i, scale, _size, _out: (i + 0.5) / scale - 0.5,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": lambda i, scale, _size, out: (i + 0.5) / scale - 0.5 if out > 1 else np.zeros_like(i),
    "align_corners": lambda i, _scale, size, out: i * (size - 1) / (out - 1) if out > 1 else np.zeros_like(i),
    "asymmetric": lambda i, scale, _size, _out: i / scale,
}
ROUNDING: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _kernel(mode: str, a: float) -> tuple[Callable[[Array], Array], int]:
    """The interpolation's weight of a distance, and how far it reaches."""
    if mode == "linear":
        return lambda d: np.maximum(0.0, 1.0 - np.abs(d)), 1

    def cubic(distance: Array) -> Array:
        d = np.abs(distance)
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

    return cubic, 2


def matrix(n: OnnxNode, place: Array, scale: float, size: int, mode: str) -> Array:
    """[out, size]: how much of each operand element each result takes."""
    weight, reach = _kernel(mode, n.real("cubic_coeff_a", -0.75))
    stretch = min(scale, 1.0) if n.integer("antialias") else 1.0
    span = math.ceil(reach / stretch)
    first = np.floor(place).astype(np.int64)
    result = np.zeros((len(place), size))
    for step in range(-span + 1, span + 1):
        source = first + step
        share = weight((source - place) * stretch)
        inside = (source >= 0) & (source < size)
        if n.integer("exclude_outside") or n.integer("antialias"):
            share = np.where(inside, share, 0.0)
        np.add.at(result, (np.arange(len(place)), np.clip(source, 0, size - 1)), share)
    return np.asarray(result / result.sum(1, keepdims=True))


def _geometry(n: OnnxNode, scales: int, sizes: int) -> tuple[list[int], list[float], list[int]]:
    """Axes, scales and extents of the result."""
    shape = n.shape()
    axes = [n.inside(a, len(shape)) for a in n.integers("axes", tuple(range(len(shape))))]
    if n.optional(sizes) is not None and n.input(sizes).type.size:
        wanted = list(n.known_integers(sizes, "the sizes"))
        if len(wanted) != len(axes) or min(wanted) < 1:
            raise n.refuse(f"sizes {wanted}", "one positive size per axis")
        factors = [w / shape[a] for w, a in zip(wanted, axes, strict=True)]
        policy = n.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            wanted = [math.floor(factor * shape[a] + 0.5) for a in axes]
            factors = [factor] * len(axes)
        return axes, factors, wanted
    factors = [float(s) for s in n.known(scales, "the scales").reshape(-1)]
    if len(factors) != len(axes) or not all(0 < f < 1e4 for f in factors):
        raise n.refuse(f"scales {factors}", "one positive scale per axis")
    return axes, factors, [math.floor(shape[a] * f) for a, f in zip(axes, factors, strict=True)]


def resized(g: Importer, n: OnnxNode, x: Value, axes: list[int], factors: list[float], wanted: list[int], mode: str,
            transform: str) -> Value:  # fmt: skip
    if transform not in COORDINATES:
        raise n.refuse(f"coordinates {transform}", f"coordinates are one of {', '.join(COORDINATES)}")
    shape = x.type.static_shape
    for a, factor, out in zip(axes, factors, wanted, strict=True):
        if out < 1:
            raise n.refuse(f"an axis of {out}", "sizes are positive")
        if factor == 1.0 and out == shape[a]:
            continue
        index = np.arange(out, dtype=np.float64)
        place = np.asarray(COORDINATES[transform](index, factor, shape[a], out))
        if mode == "nearest":
            rounding = n.text("nearest_mode", "round_prefer_floor")
            if rounding not in ROUNDING:
                raise n.refuse(f"nearest_mode {rounding}", f"one of {', '.join(ROUNDING)}")
            x = taken(g, x, a, np.clip(ROUNDING[rounding](place), 0, shape[a] - 1).astype(np.int64))
        elif mode in ("linear", "cubic"):
            if not x.type.dtype.is_float:
                raise n.refuse(f"{mode} interpolation of {x.type.dtype}", "interpolation is of floats")
            x = weighted(g, x, a, matrix(n, place, factor, shape[a], mode))
        else:
            raise n.refuse(f"mode {mode}", "the mode is nearest, linear or cubic")
    return x


def resize(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    if n.version < 11:
        axes, factors, wanted = _geometry(n, 1, 9)
        return (
            resized(g, n, x, axes, factors, wanted, _mode(n), "asymmetric")
            if _mode(n) != "nearest"
            else _upsampled(g, n, x, axes, factors, wanted)
        )
    axes, factors, wanted = _geometry(n, 2, 3)
    return resized(g, n, x, axes, factors, wanted, _mode(n), n.text("coordinate_transformation_mode", "half_pixel"))


def upsample(g: Importer, n: OnnxNode) -> Results:
    """Before Resize: asymmetric coordinates, rounded down."""
    x = n.input(0)
    if n.version < 9:
        factors = [float(v) for v in n.attribute("scales", [])]
        axes = list(range(len(factors)))
        wanted = [math.floor(x.type.static_shape[a] * f) for a, f in zip(axes, factors, strict=True)]
    else:
        axes, factors, wanted = _geometry(n, 1, 9)
    return _upsampled(g, n, x, axes, factors, wanted)


def _upsampled(g: Importer, n: OnnxNode, x: Value, axes: list[int], factors: list[float], wanted: list[int]) -> Value:
    if _mode(n) != "nearest":
        return resized(g, n, x, axes, factors, wanted, _mode(n), "asymmetric")
    for a, factor, out in zip(axes, factors, wanted, strict=True):
        if factor != 1.0:
            size = x.type.static_shape[a]
            x = taken(g, x, a, np.clip(np.floor(np.arange(out) / factor), 0, size - 1).astype(np.int64))
    return x


def _mode(n: OnnxNode) -> str:
    return {"bilinear": "linear"}.get(n.text("mode", "nearest"), n.text("mode", "nearest"))


RESIZE: dict[str, Converter] = {"Resize": resize, "Upsample": upsample}
"""Converters by ONNX name."""
