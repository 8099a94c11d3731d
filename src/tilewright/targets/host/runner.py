"""Runs a built network in this process, through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...ir.types import DTYPES, Array
from .build import build, read_plan


class HostRunner:
    """The C of one compiled folder, as Python calls. State lives in the library: one runner, one state."""

    def __init__(self, folder: Path) -> None:
        self.plan: dict[str, Any] = dict(read_plan(folder))
        self.built = build(folder)
        self.library = ctypes.CDLL(str(self.built.library.resolve()))
        self.prefix = str(self.plan["prefix"])
        entry = self.plan["entries"][-1]
        self.inputs: Sequence[Mapping[str, Any]] = entry["inputs"]
        self.outputs: Sequence[Mapping[str, Any]] = entry["outputs"]

    def function(self, name: str) -> Any:
        return getattr(self.library, f"{self.prefix}_{name}")

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """One run of a network without a language face; arrays in the order of the interface."""
        return self.prepared(inputs)()

    def series(self, inputs: Sequence[Array], repeat: int, expected: Sequence[Array] | None) -> Iterator[list[Array]]:
        """Runs in a row; nothing is compared here."""
        self.reset()
        for _ in range(repeat):
            if self.plan["language"] is None:
                yield self.run(inputs)
            else:
                self.reset()
                yield [self.prefill(inputs[0].tolist())]

    def measured(self) -> dict[str, Any]:
        """Nothing: wall time of one call says little."""
        return {}

    def rows(self, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Nothing, as `measured`."""
        return []

    def prepared(self, inputs: Sequence[Array]) -> Callable[[], list[Array]]:
        """The same as a call without arguments that only runs, for measuring; results are overwritten."""
        given = [_fitting(a, about) for a, about in zip(inputs, self.inputs, strict=True)]
        results = [np.zeros(o["max_shape"], DTYPES[o["dtype"]].numpy) for o in self.outputs]
        function, arguments = self.function("run"), []
        loads: list[tuple[Any, ctypes.c_void_p]] = []
        stores: list[
            tuple[Any, ctypes.c_void_p]
        ] = []  # of inputs and outputs that are kept as state: outside of what is measured
        for group, arrays, ports in ((loads, given, self.inputs), (stores, results, self.outputs)):
            for array, port in zip(arrays, ports, strict=True):
                address = ctypes.c_void_p(array.ctypes.data)
                if "converter" in port:
                    group.append((getattr(self.library, port["converter"]), address))
                else:
                    arguments.append(address)

        def call() -> list[Array]:
            assert len(given) == len(inputs)  # and so alive
            for load, address in loads:
                load(address)
            function(*arguments)
            for store, address in stores:
                store(address)
            return results

        return call

    def reset(self) -> None:
        """State back to what it was before the first run."""
        if self.plan["language"] is not None or any(e["states"] for e in self.plan["entries"]):
            self.function("reset")()

    def prefill(self, tokens: Sequence[int]) -> Array:
        """Logits after a prompt. UserError where it does not fit or a token is none of the vocabulary's."""
        array = np.ascontiguousarray(tokens, np.int32)
        call = self.function("prefill")
        call.restype = ctypes.c_void_p
        return self._logits(call(ctypes.c_void_p(array.ctypes.data), ctypes.c_int32(len(array))))

    def decode(self, token: int) -> Array:
        """Logits after one more token."""
        call = self.function("decode")
        call.restype = ctypes.c_void_p
        return self._logits(call(ctypes.c_int32(token)))

    def _logits(self, address: int | None) -> Array:
        if not address:
            raise UserError("the tokens do not fit into the context, or are none of the vocabulary")
        about = self.outputs[0]
        dtype = DTYPES[about["dtype"]]
        kind = np.ctypeslib.as_ctypes_type(dtype.numpy) * int(np.prod(about["max_shape"]))
        return np.array(np.ctypeslib.as_array(kind.from_address(address)))


def _fitting(array: Array, about: Mapping[str, Any]) -> Array:
    if list(array.shape) != list(about["max_shape"]):
        raise UserError(f"input {about['name']} has shape {array.shape}, the network takes {about['max_shape']}")
    return np.ascontiguousarray(array, DTYPES[about["dtype"]].numpy)
