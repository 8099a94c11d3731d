"""Kernels of a target that runs here, called from Python: compiled into one shared library, arguments from the row."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..cgen.prototypes import HEADER, prototypes
from ..ir.graph import Node
from ..ir.types import Array, TensorType, resolve
from ..targets.base import Kernel, Target

ZIG = (sys.executable, "-m", "ziglang", "cc")
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wmissing-prototypes", "-ffp-contract=off")

Allocate = Callable[[str, int], Array]  # name of the parameter, bytes -> zeroed bytes, one axis


def shared_library(
    target: Target, folder: Path, compiler: tuple[str, ...] = ZIG, options: tuple[str, ...] = ("-O3",)
) -> Path:
    """Compile all kernel files of a target into `folder`; what was compiled from the same bytes before is reused."""
    header = prototypes(target.kernels)
    files = sorted({target.kernel_file(kernel.file) for kernel in target.kernels})
    command = [*compiler, *FLAGS, *options, "-shared", "-fPIC"]
    digest = hashlib.sha256(repr((command, header)).encode())
    for path in [*files, *map(target.kernel_file, target.headers)]:
        digest.update(path.name.encode() + path.read_bytes())
    build = folder / digest.hexdigest()[:16]
    library = build / "kernels.so"
    if not library.exists():
        build.mkdir(parents=True, exist_ok=True)
        (build / HEADER).write_text(header)
        part = build / f"kernels.{os.getpid()}.so"
        includes = [f"-I{build}", *(f"-I{folder}" for folder in target.kernel_folders)]
        result = subprocess.run(
            [*command, *includes, *map(str, files), "-o", str(part)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise RuntimeError(f"kernels of {target.name} do not compile:\n{result.stderr}")
        part.replace(library)
    return library


def call(
    library: ctypes.CDLL,
    kernel: Kernel,
    node: Node,
    inputs: Mapping[str, Array],
    env: Mapping[str, int] | None = None,
    allocate: Allocate = lambda name, size: np.zeros(size, np.uint8),  # noqa: ARG005
    overlay: Mapping[str, str] | None = None,
) -> dict[str, Array]:
    """Run one kernel on logical arrays, by operand; the results, by name, logical again.

    Packs and unpacks as the row says. Results that update an operand in place get its storage, and so do those that
    `overlay` maps to an operand. An operand that is not there is a null pointer.
    """
    env = env or {}
    types = {name: value.type.substitute(env) for name, value in node.operands.items()}
    aliases = {**node.op.aliases, **(overlay or {})}
    buffers: dict[str, Array] = {}
    for name, kind in types.items():
        if name in aliases:
            continue
        logical = inputs[name] if name in inputs else np.zeros(kind.static_shape, kind.dtype.numpy)
        image = _bytes(kernel.packing[name].pack(logical) if name in kernel.packing else logical)
        buffers[name] = allocate(name, image.size)
        buffers[name][:] = image if name in inputs else 0xA5
    buffers["scratch"] = allocate("scratch", kernel.scratch(node))
    scalars = kernel.arguments(node)
    arguments: dict[str, Any] = {}
    for ctype, name in kernel.parameters:
        if kernel.gathers(name):
            addresses = [b.ctypes.data for n, b in buffers.items() if n.rstrip("0123456789") == name]
            arguments[name] = (ctypes.c_void_p * len(addresses))(*addresses)
        elif name in scalars:
            value = scalars[name]
            if isinstance(value, tuple):
                arguments[name] = (ctypes.c_int32 * len(value))(*value)
                continue
            arguments[name] = _scalar(ctype, value if isinstance(value, float) else resolve(value, env))
        else:
            buffer = buffers.get(aliases.get(name, name))
            arguments[name] = ctypes.c_void_p(buffer.ctypes.data if buffer is not None else None)
    function = getattr(library, kernel.symbol)
    function.restype = None
    given = [ctypes.byref(_struct({name: arguments[name] for _, name in kernel.fields}))] if kernel.fields else []
    function(*given, *(arguments[name] for _, name in kernel.passed))
    results = (name for name in types if name not in inputs)
    return {name: _logical(buffers[aliases.get(name, name)], kernel, name, types[name]) for name in results}


def _bytes(array: Array) -> Array:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def _logical(buffer: Array, kernel: Kernel, name: str, kind: TensorType) -> Array:
    flat = np.frombuffer(buffer.tobytes(), kind.dtype.numpy)
    if name in kernel.packing:
        return kernel.packing[name].unpack(flat, kind.static_shape)
    return flat.reshape(kind.static_shape)


_SCALARS: Mapping[str, type[ctypes._SimpleCData[int]] | type[ctypes._SimpleCData[float]]] = {
    "int": ctypes.c_int, "int8_t": ctypes.c_int8, "uint8_t": ctypes.c_uint8,
    "int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64,
    "float": ctypes.c_float, "double": ctypes.c_double,
}  # fmt: skip


def _struct(values: Mapping[str, Any]) -> ctypes.Structure:
    """Arguments as fields; arrays by their address."""

    class Given(ctypes.Structure):
        _fields_: ClassVar = [
            (name, ctypes.c_void_p if isinstance(value, ctypes.Array) else type(value))
            for name, value in values.items()
        ]

    return Given(*(ctypes.addressof(v) if isinstance(v, ctypes.Array) else v for v in values.values()))


def _scalar(ctype: str, value: float) -> object:
    return _SCALARS[ctype.removeprefix("const ")](value)  # type: ignore[arg-type]
