"""Cases and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Port, cast, compare, match, read_npz
from ..errors import UserError
from ..ir.graph import Graph
from ..ir.types import Array

PASSED, FAILED, REFUSED = "passed", "failed", "refused"


@dataclass(frozen=True)
class DataSet:
    """Inputs and expected outputs, in the order of the graph's interface and in its types."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


@dataclass(frozen=True)
class Case:
    """A network and what it has to compute; both are read when they are asked for. UserError: refused."""

    name: str
    graph: Callable[[], Graph]
    data: Callable[[Graph], Sequence[DataSet]]


@dataclass(frozen=True)
class Verdict:
    """What became of a case. `reason` says why it was not passed, `rule` which rule refused it."""

    name: str
    status: str
    reason: str = ""
    rule: str = ""


def refused(name: str, error: UserError) -> Verdict:
    """The verdict of a case that was refused before any C was compiled."""
    return Verdict(name, REFUSED, str(error), error.rule)


def difference(graph: Graph, got: Sequence[Array], want: Sequence[Array]) -> str | None:
    """How outputs differ from what was expected; None where they agree."""
    for value, array, expected in zip(graph.outputs, got, want, strict=True):
        found = compare(array, expected)
        if found.wrong:
            at = found.first
            assert at is not None
            return (
                f"output {value.name}: {found.wrong} of {array.size} values differ, by up to {found.worst:.3g}; "
                f"first at {at}: {array.reshape(-1)[at]} instead of {expected.reshape(-1)[at]}"
            )
    return None


def onnx(source: Path) -> list[Case]:
    """ONNX's operator vectors."""
    from ..frontend.onnx_vectors import OnnxCase, onnx_cases

    def case(vectors: OnnxCase) -> Case:
        def data(graph: Graph) -> list[DataSet]:
            sets = []
            for inputs, outputs in vectors.arrays():
                if (len(inputs), len(outputs)) != (len(graph.inputs), len(graph.outputs)):
                    raise ValueError("the data set does not fit the interface")
                sets.append(DataSet(tuple(inputs), tuple(outputs)))
            return sets

        return Case(vectors.name, vectors.graph, data)

    return [case(vectors) for vectors in onnx_cases(source)]


def quantlib(source: Path) -> list[Case]:
    """Networks of the QuantLib dialect: folders with network.onnx, inputs.npz and outputs.npz."""
    from ..frontend.quantlib import load_quantlib

    folders = sorted(path.parent for path in source.glob("**/network.onnx") if (path.parent / "outputs.npz").is_file())
    if not folders:
        raise UserError(
            f"{source} holds no cases", rule="a case is a folder with network.onnx, inputs.npz and outputs.npz"
        )

    def case(folder: Path) -> Case:
        def data(graph: Graph) -> list[DataSet]:
            ports = [Port(v.name, v.type.static_shape, v.type.dtype.numpy) for v in graph.inputs]
            results = [Port(v.name, v.type.static_shape, v.type.dtype.numpy) for v in graph.outputs]
            given = match(read_npz(folder / "inputs.npz"), ports, "input", folder / "inputs.npz", surplus=True)
            wanted = match(read_npz(folder / "outputs.npz"), results, "output", folder / "outputs.npz", surplus=True)
            inputs = tuple(cast(array, port) for array, port in zip(given, ports, strict=True))
            return [DataSet(inputs, tuple(np.asarray(a) for a in wanted))]

        return Case(str(folder.relative_to(source)), lambda: load_quantlib(folder), data)

    return [case(folder) for folder in folders]


SUITES: dict[str, Callable[[Path], list[Case]]] = {"onnx": onnx, "quantlib": quantlib}
"""What `tilewright conformance` knows, by name."""
