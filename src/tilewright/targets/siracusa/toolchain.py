"""Flags of the chip's toolchain: for the builds of this package, and for the CMake files of an exported project."""

from __future__ import annotations

import sys

from .share import CORES
from .target import CORE_STACK, FIRST_STACK

TRIPLE = "riscv32-freestanding-none"
ZIG = (sys.executable, "-m", "ziglang", "cc", "-target", TRIPLE)
FABRIC = ("-mcpu=generic_rv32+m+c+zicsr",)  # the fabric controller has no FPU
CLUSTER = ("-mcpu=generic_rv32+m+f+c+zicsr+relax",)  # the linker makes calls of functions nearby shorter
BOOT = (*FABRIC, "-fno-builtin")  # of what defines memcpy and its like
CFLAGS = (
    "-std=gnu99", "-mabi=ilp32", "-ffreestanding", "-fno-sanitize=undefined", "-fno-stack-protector", "-O3",
    "-fomit-frame-pointer", "-fno-math-errno", "-mllvm", "-enable-global-merge=false",
    "-mllvm", "-enable-machine-outliner=never", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections",
    "-fstack-size-section", "-g0", "-fno-asynchronous-unwind-tables",
    f"-DTW_CORES={CORES}", f"-DTW_FIRST_STACK={FIRST_STACK}", f"-DTW_CORE_STACK={CORE_STACK}",
)  # fmt: skip
LINK = (*FABRIC, "-mabi=ilp32", "-static", "-nostartfiles", "-Wl,--gc-sections")
