"""ONNX's own operator vectors, read straight from the archive."""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import onnx

from tests.shared import VECTORS
from tilewright.ir.types import Array


@dataclass
class Case:
    """A model and its data sets: inputs and outputs by number."""

    model: bytes = b""
    sets: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))

    def arrays(self) -> list[tuple[list[Array], list[Array]]]:
        return [(_numbered(s, "input"), _numbered(s, "output")) for _, s in sorted(self.sets.items())]


def _numbered(files: Mapping[str, bytes], kind: str) -> list[Array]:
    names = sorted((n for n in files if n.startswith(kind)), key=lambda n: int(n.split("_")[1].split(".")[0]))
    return [np.asarray(onnx.numpy_helper.to_array(onnx.TensorProto.FromString(files[n]))) for n in names]


@cache
def cases() -> dict[str, Case]:
    """Every node case by name."""
    found: dict[str, Case] = defaultdict(Case)
    with tarfile.open(VECTORS, "r:xz") as archive:
        for member in archive:
            parts = member.name.removeprefix("./").split("/")
            if not member.isfile() or parts[0] != "node":
                continue
            handle = archive.extractfile(member)
            assert handle is not None
            if parts[-1] == "model.onnx":
                found[parts[1]].model = handle.read()
            else:
                found[parts[1]].sets[parts[2]][parts[3]] = handle.read()
    return dict(found)
