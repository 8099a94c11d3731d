"""Many small networks in one shared library of the host, each case run in a process that may die."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..api import compile_model
from ..cgen.converters import converter_names
from ..cgen.project import kernel_files, network_files
from ..compiled import Compiled
from ..errors import UserError
from ..ir.types import Array
from ..model import Model
from ..options import Options
from ..targets.base import Target
from ..targets.host.toolchain import compile_objects, link
from .cases import FAILED, PASSED, Case, DataSet, Verdict, difference, refused

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PATIENCE = 60.0  # seconds that one case may run
RUNS = 2  # in a row: buffers have to survive the first
_STATIC = re.compile(r"^(?:static (?:const )?(?:union|struct \w+|\w+) \*?|struct |\} )(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Ready:
    """A case that was compiled to C."""

    case: Case
    compiled: Compiled
    data: Sequence[DataSet]


def prepare(case: Case, prefix: str, target: Target, options: Options) -> Ready | Verdict:
    """Compile a case up to its C, or say why that was refused (or failed)."""
    from dataclasses import replace

    try:
        graph = replace(case.graph(), name="run")
        compiled = compile_model(Model(case.name, (graph,)), target, replace(options, name=prefix))
        return Ready(case, compiled, case.data(compiled.plan.entries[-1].graph))
    except UserError as error:
        return refused(case.name, error)
    except Exception as error:
        return Verdict(case.name, FAILED, f"{type(error).__name__}: {error}")


def run_batch(cases: Sequence[Case], target: Target, options: Options, folder: Path) -> list[Verdict]:
    """Verdicts in the order of the cases. The folder takes sources, objects and the library."""
    prepared = [prepare(case, f"c{i}", target, options) for i, case in enumerate(cases)]
    ready = [item for item in prepared if isinstance(item, Ready)]
    verdicts = {item.name: item for item in prepared if isinstance(item, Verdict)}
    try:
        library = build(ready, folder) if ready else None
    except UserError as error:
        if len(ready) > 1:  # by halves, until the culprit alone fails
            half = len(cases) // 2
            parts = (cases[:half], cases[half:])
            return [v for i, part in enumerate(parts) for v in run_batch(part, target, options, folder / str(i))]
        said = next((line for line in str(error).splitlines() if "error:" in line), str(error))
        name = ready[0].case.name
        verdicts[name] = Verdict(name, FAILED, f"the C does not compile: {said}")
        library = None
    if library is not None:
        verdicts |= {v.name: v for v in run_all(ready, library)}
    return [verdicts[case.name] for case in cases]


def build(ready: Sequence[Ready], folder: Path) -> Path:
    """One library of all cases: their sources included in one file, kernels as objects that are kept."""
    kernels = folder / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    unity = ["/* All cases of a batch. Names that are private to a file are told apart by its prefix. */"]
    wanted: dict[str, str] = {}
    for item in ready:
        prefix = item.compiled.prefix
        texts = network_files(item.compiled)
        for name, text in texts.items():
            (folder / name).write_text(text)
        private = sorted({n for n in _STATIC.findall(texts[f"{prefix}.c"]) if not n.startswith(prefix)})
        unity += [f"#define {name} {prefix}_{name}" for name in private]
        unity += [f'#include "{name}"' for name in sorted(texts, reverse=True) if name.endswith(".c")]
        unity += [f"#undef {name}" for name in private]
        unity += ["#undef TW_NAN", "#undef TW_INFINITY"]
        wanted |= kernel_files(item.compiled)
    for name, text in wanted.items():
        (kernels / name).write_text(text)
    (folder / "batch.c").write_text("\n".join(unity) + "\n")
    sources = [folder / "batch.c", *(kernels / name for name in sorted(wanted) if name.endswith(".c"))]
    objects = compile_objects(sources, [folder, kernels], folder / "build")
    return link(objects, folder / "build" / "batch.so", shared=True)


def run_all(ready: Sequence[Ready], library: Path) -> list[Verdict]:
    """Run every case in a child process; after a crash or a case that hangs, the rest goes on in another one."""
    verdicts: list[Verdict] = []
    context = get_context("fork")
    while len(verdicts) < len(ready):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_serve, args=(ready[len(verdicts) :], library, there))
        child.start()
        there.close()
        verdicts += _received(here, [item.case.name for item in ready[len(verdicts) :]], child)
        child.join()
    return verdicts


def _received(results: Connection, names: Sequence[str], child: Any) -> list[Verdict]:
    """Verdicts that a child sends, the last one made up where it crashes or takes too long."""
    verdicts: list[Verdict] = []
    while len(verdicts) < len(names):
        if not results.poll(PATIENCE):
            child.kill()
            return [*verdicts, Verdict(names[len(verdicts)], FAILED, f"ran for more than {PATIENCE:.0f} s")]
        try:
            verdicts.append(results.recv())
        except EOFError:
            child.join()
            why = f"the C crashed with signal {-(child.exitcode or 0)}"
            return [*verdicts, Verdict(names[len(verdicts)], FAILED, why)]
    return verdicts


def _serve(ready: Sequence[Ready], library: Path, results: Connection) -> None:
    code = ctypes.CDLL(str(library))
    for item in ready:
        results.send(_judge(item, code))
    results.close()


def _judge(item: Ready, code: ctypes.CDLL) -> Verdict:
    graph, name = item.compiled.plan.entries[-1].graph, item.case.name
    function = called(item.compiled, code)
    for number, data in enumerate(item.data):
        for value, array in zip(graph.outputs, data.outputs, strict=True):
            if array.size != value.type.size:
                return Verdict(name, FAILED, f"output {value.name} is {value.type}, {list(array.shape)} was expected")
        for run in range(RUNS):
            got = _run(function, graph.inputs, graph.outputs, data.inputs)
            if isinstance(got, str):
                return Verdict(name, FAILED, got)
            found = difference(graph, got, data.outputs)
            if found is not None:
                return Verdict(name, FAILED, f"data set {number}, run {run}: {found}")
    return Verdict(name, PASSED)


def called(compiled: Compiled, code: ctypes.CDLL) -> Callable[..., None]:
    """A run as the model sees it: addresses of all inputs and outputs, those that are kept as state included."""
    graph = compiled.plan.entries[-1].graph
    names = {bound.value: name for bound, name in converter_names(compiled).items()}
    run = getattr(code, f"{compiled.prefix}_run")

    def call(*addresses: ctypes.c_void_p) -> None:
        given = dict(zip((*graph.inputs, *graph.outputs), addresses, strict=True))
        for bound in graph.loads:
            getattr(code, names[bound.value])(given[bound.value])
        run(*(given[v] for v in (*graph.arguments, *graph.results)))
        for bound in graph.stores:
            getattr(code, names[bound.value])(given[bound.value])

    return call


def _run(
    function: Callable[..., None], inputs: Sequence[Any], outputs: Sequence[Any], given: Sequence[Array]
) -> list[Array] | str:
    """Results of one run, or what it wrote beyond them."""
    fence = 64
    arrays = []
    for value, array in zip(inputs, given, strict=True):
        if array.size != value.type.size or array.dtype != value.type.dtype.numpy:
            return f"input {value.name} is {value.type}, the data are {array.dtype}{list(array.shape)}"
        arrays.append(np.ascontiguousarray(array))
    before = [a.copy() for a in arrays]
    blocks = [np.full(v.type.size * v.type.dtype.numpy.itemsize + 2 * fence, 0xA5, np.uint8) for v in outputs]
    addresses = [a.ctypes.data for a in arrays] + [b.ctypes.data + fence for b in blocks]
    function(*(ctypes.c_void_p(address) for address in addresses))
    for value, block in zip(outputs, blocks, strict=True):
        if np.any(block[:fence] != 0xA5) or np.any(block[-fence:] != 0xA5):
            return f"the C wrote beyond output {value.name}"
    for value, array, kept in zip(inputs, arrays, before, strict=True):
        if array.tobytes() != kept.tobytes():
            return f"the C changed input {value.name}"
    return [
        b[fence : len(b) - fence].view(v.type.dtype.numpy).reshape(v.type.static_shape)
        for v, b in zip(outputs, blocks, strict=True)
    ]
