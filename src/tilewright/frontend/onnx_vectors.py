"""Test cases in the layout of ONNX's backend tests: a model and data sets of numbered protobuf tensors."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from ..errors import UserError
from ..ir.graph import Graph
from ..ir.types import Array
from .onnx import import_model
from .onnx_model import parse_model

LARGEST = 1 << 28  # bytes of one file of a case


@dataclass
class OnnxCase:
    """The bytes of a case. `sets` maps a data set to its files by name."""

    name: str
    model: bytes = b""
    sets: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def graph(self) -> Graph:
        """The model as a graph."""
        return import_model(parse_model(self.model, f"{self.name}.onnx"))

    def arrays(self) -> list[tuple[list[Array], list[Array]]]:
        """(inputs, outputs) of every data set. ValueError for what is not a tensor of numbers."""
        return [(_numbered(s, "input"), _numbered(s, "output")) for _, s in sorted(self.sets.items())]


def _numbered(files: Mapping[str, bytes], kind: str) -> list[Array]:
    names = sorted((n for n in files if n.startswith(f"{kind}_")), key=lambda n: int(n.split("_")[1].split(".")[0]))
    return [np.asarray(onnx.numpy_helper.to_array(onnx.TensorProto.FromString(files[n]))) for n in names]


def onnx_cases(source: Path) -> list[OnnxCase]:
    """The cases in a folder or an archive, by name. Of an archive with several groups: those of single nodes."""
    if not source.exists():
        raise UserError(f"no such folder or archive: {source}")
    found: dict[str, OnnxCase] = {}
    for parts, data in _archived(source) if source.is_file() else _unpacked(source):
        if parts[-1] == "model.onnx" and len(parts) >= 2:
            found.setdefault("/".join(parts[:-1]), OnnxCase(parts[-2])).model = data
        elif len(parts) >= 3 and parts[-2].startswith("test_data_set"):
            case = found.setdefault("/".join(parts[:-2]), OnnxCase(parts[-3]))
            case.sets.setdefault(parts[-2], {})[parts[-1]] = data
    cases = {path: case for path, case in found.items() if case.model and case.sets}
    nodes = {path: case for path, case in cases.items() if "node" in path.split("/")[:-1]}
    if not cases:
        raise UserError(f"{source} holds no cases", rule="a case is a folder with model.onnx and test_data_set_0")
    return [case for _, case in sorted((nodes or cases).items())]


def _archived(source: Path) -> Iterator[tuple[list[str], bytes]]:
    """(parts of the path, bytes) of every file of an archive."""
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                handle = archive.extractfile(member) if member.isfile() and member.size <= LARGEST else None
                if handle is not None:
                    yield [p for p in member.name.split("/") if p != "."], handle.read()
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise UserError(
            f"cannot read {source}: {error}", hint="give the folder or the tar archive of the cases"
        ) from None


def _unpacked(source: Path) -> Iterator[tuple[list[str], bytes]]:
    for path in sorted(source.rglob("*")):
        if path.suffix in (".onnx", ".pb") and path.is_file() and path.stat().st_size <= LARGEST:
            yield [source.name, *path.relative_to(source).parts], path.read_bytes()
