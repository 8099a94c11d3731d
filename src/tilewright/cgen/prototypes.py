"""The header of kernel prototypes, printed from the rows. Every kernel file includes it, so drift fails to compile."""

from __future__ import annotations

from collections.abc import Iterable

from ..targets.base import Kernel

HEADER = "tw_kernels.h"


def prototypes(kernels: Iterable[Kernel]) -> str:
    """The text of tw_kernels.h. Rows may share a symbol, but only with one signature; ValueError otherwise."""
    signatures: dict[str, Kernel] = {}
    for kernel in kernels:
        known = signatures.setdefault(kernel.symbol, kernel)
        if (known.signature, known.file, known.passed) != (kernel.signature, kernel.file, kernel.passed):
            raise ValueError(f"{kernel.symbol} is declared twice, differently")
    lines = ["/* Prototypes of the kernels, printed from the kernel rows of the compiler. */"]
    lines += ["#ifndef TW_KERNELS_H", "#define TW_KERNELS_H", "", "#include <stdint.h>"]
    for file in dict.fromkeys(kernel.file for kernel in signatures.values()):
        lines += ["", f"/* {file} */"]
        for kernel in signatures.values():
            if kernel.file == file:
                lines += _declaration(kernel)
    return "\n".join([*lines, "", "#endif", ""])


def _declaration(kernel: Kernel, width: int = 110) -> list[str]:
    """The prototype, broken between parameters; before it the struct of what it is given, if there is one."""
    parameters = [_declared(ctype, name) for ctype, name in kernel.passed]
    lines = [f"void {kernel.symbol}("]
    if kernel.fields:
        fields = [f"    {_declared(ctype, name)};" for ctype, name in kernel.fields]
        lines = [f"struct {kernel.symbol} {{", *fields, "};", *lines]
        parameters.insert(0, f"const struct {kernel.symbol} *given")
    for parameter, end in zip(parameters, [", "] * (len(parameters) - 1) + [");"], strict=True):
        if len(lines[-1]) + len(parameter) > width:
            lines.append("    ")
        lines[-1] += parameter + end
    return [line.rstrip() for line in lines]


def _declared(ctype: str, name: str) -> str:
    return f"{ctype}{'' if ctype.endswith('*') else ' '}{name}"
