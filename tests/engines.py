"""An asynchronous engine that no chip has: products and convolutions of bytes, on a chip like Siracusa."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tilewright.ir.graph import Node
from tilewright.ir.types import Array
from tilewright.ops import Conv2D, Linear
from tilewright.options import Options
from tilewright.targets.base import Engine, Kernel, Packing, Split, Target
from tilewright.targets.registry import find


def _pack(weight: Array) -> Array:
    return np.ascontiguousarray(weight[..., ::-1]).reshape(-1)


def _unpack(packed: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray(packed.reshape(shape)[..., ::-1])


BACKWARDS = Packing("backwards", _pack, _unpack)
POINTERS = "const int8_t *x, const int8_t *w, const int32_t *mul, const int32_t *add, int8_t *y"


def byte_results(node: Node) -> bool:
    """Results of eight bits"""
    return node.outputs[0].type.dtype.bits == 8


def toy(l1: int | None = None, cycles: float = 100.0) -> Target:
    """A chip with the engine, which takes so many cycles for any call, and less for part of one."""

    def cost(node: Node) -> float:
        return cycles * node.outputs[0].type.size / (node.outputs[0].type.size + 16)

    rows = tuple(
        Kernel(
            op, "toy.c", f"tw_toy_{op.__name__.lower()}", POINTERS, {"w": "i8", "mul": "i32"},
            requires=(byte_results,), packing={"w": BACKWARDS}, direct=frozenset({"w"}), cycles=cost, engine="toy",
            split=lambda node: Split(("o",), 4) if isinstance(node.op, Linear) else None,
        )
        for op in (Linear, Conv2D)
    )  # fmt: skip
    chip = find("siracusa", Options(l1=l1, npu="off"))
    engines = (*chip.engines, Engine("toy", 1, queue=2, issue=50.0, latency=10.0))
    return replace(chip, engines=engines, kernels=(*chip.kernels, *rows))
