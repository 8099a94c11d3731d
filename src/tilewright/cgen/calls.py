"""Calls of kernels as C: arguments, or the address of a struct of them."""

from __future__ import annotations

from collections.abc import Mapping

from ..targets.base import Kernel
from .layout import INDENT, wrap
from .tables import designated

DIGITS = "0123456789"


def statement(kernel: Kernel, texts: Mapping[str, str], depth: int, given: str | None = None) -> str:
    """A call with what its parameters have; `given` is the address of its struct."""
    arguments = [*([] if given is None else [given]), *(texts[name] for _, name in kernel.passed)]
    return wrap(f"{INDENT * depth}{kernel.symbol}({', '.join(arguments)});", len(INDENT) * (depth + 1))


def with_struct(kernel: Kernel, texts: Mapping[str, str], depth: int) -> list[str]:
    """A call whose struct is made before it: some of it is known at run time only, or there is no room for a table."""
    pad, inner = INDENT * depth, INDENT * (depth + 1)
    struct = f"{inner}const struct {kernel.symbol} own = {designated(kernel, texts)};"
    return [f"{pad}{{", wrap(struct, len(inner) + 4), statement(kernel, texts, depth + 1, "&own"), f"{pad}}}"]


def array_of(ctype: str, addresses: list[str]) -> str:
    """An array of addresses, for a parameter that takes all operands of a kind."""
    return f"({ctype.removesuffix('*').rstrip()}[]){{{', '.join(addresses)}}}"
