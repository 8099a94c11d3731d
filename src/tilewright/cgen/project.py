"""The C project of a compiled network: sources, header, weights, build file, memory map, plan. Self-contained."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import UserError
from ..files import umask
from ..ir.types import Kind
from ..report.html import html
from ..report.timeline import entry_record
from ..report.timeline import text as schedule_text
from ..schedule.estimate import Timeline, estimate
from ..solve.place import peak_step
from ..solve.record import record
from .constants import literal
from .converters import converter_names, converters
from .language import language_files
from .layout import wrap
from .names import Names, identifier
from .prototypes import prototypes
from .rounds import named
from .skeleton import guard, render, summary

if TYPE_CHECKING:
    from ..compiled import Compiled


def write(compiled: Compiled, folder: Path) -> None:
    """Write the project; the folder appears complete or not at all. A folder that is not ours is left alone."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "plan.json").exists():
        raise UserError(f"{folder} exists and is not a compiled network", hint="choose another folder with -o")
    texts = files(compiled)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in texts.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        fresh.chmod(0o777 & ~umask())
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def files(compiled: Compiled) -> dict[str, str]:
    """Path -> content of every file; the same bytes for the same model, options and version."""
    prefix = compiled.prefix
    timelines = _timelines(compiled)
    plan, schedule = describe(compiled, timelines), _schedule(compiled, timelines)
    texts = {
        **network_files(compiled),
        "memory.h": _memory(compiled),
        "plan.json": json.dumps(plan, indent=1) + "\n",
        "report.html": html(plan, schedule=schedule),
    }
    if schedule is not None:
        texts["schedule.json"] = schedule_text(schedule)
    texts |= {f"kernels/{name}": text for name, text in kernel_files(compiled).items()}
    if compiled.model.language is None:
        texts |= _plain_face(compiled)
        includes = ["kernels"]
    else:
        texts |= language_files(compiled)
        includes = ["kernels", "lm"]
    if compiled.target.export is not None:
        texts |= compiled.target.export(compiled, plan, texts)
        return dict(sorted(texts.items()))
    library = sorted(name for name in texts if name.endswith(".c") and name != "main.c")
    texts["CMakeLists.txt"] = render("CMakeLists.txt.j2", prefix=prefix, library=library, includes=includes)
    return dict(sorted(texts.items()))


def network_files(compiled: Compiled) -> dict[str, str]:
    """The network's own C: functions, constants, and the header of one without a language face."""
    prefix = compiled.prefix
    texts = {
        f"{prefix}.c": _network(compiled),
        f"{prefix}_internal.h": _internal(compiled),
        f"{prefix}_weights.c": _weights(compiled),
    }
    if compiled.plan.entries[-1].graph.bound:
        texts[f"{prefix}_state.c"] = render("state.c.j2", prefix=prefix, converters=converters(compiled))
    if compiled.model.language is None:
        texts[f"{prefix}.h"] = _plain_face(compiled)[f"{prefix}.h"]
    return texts


def kernel_files(compiled: Compiled) -> dict[str, str]:
    """The kernels that the network calls, byte for byte as in the package, the headers they include, prototypes."""
    target = compiled.target
    choices = [choice for entry in compiled.plan.entries for choice in entry.choices.values()]
    wanted = sorted({kernel.file for choice in choices for kernel in choice.kernels})
    texts: dict[str, str] = {}
    while wanted:
        name = wanted.pop()
        if name not in texts:
            texts[name] = target.kernel_file(name).read_text()
            wanted += [header for header in target.headers if f'#include "{header}"' in texts[name]]
    texts["tw_kernels.h"] = prototypes(target.kernels)
    return texts


def describe(compiled: Compiled, timelines: Mapping[str, Timeline]) -> dict[str, Any]:
    """plan.json: every decision, and the interface for runners."""
    model = compiled.model
    language = None
    if model.language is not None:
        face = model.language
        language = {
            "context": face.context, "chunk": face.chunk, "vocabulary": face.size, "logit_scale": face.logit_scale,
            "quant": face.quant, "calibration": face.calibration,
        }  # fmt: skip
    return {
        "tilewright": __version__,
        "name": model.name,
        "prefix": compiled.prefix,
        "target": compiled.target.name,
        "macs": compiled.macs,
        "float_ops": compiled.float_ops,
        "memory": compiled.memory,
        "language": language,
        "quantisation": model.quantisation,
        **({"shared": list(compiled.source.shared)} if compiled.source.cores > 1 else {}),
        **record(
            compiled.plan,
            compiled.target,
            converter_names(compiled),
            {name: round(t.cycles, 1) for name, t in timelines.items()},
        ),
    }


def _timelines(compiled: Compiled) -> dict[str, Timeline]:
    """Predicted time by entry, where transfers are part of the program."""
    if compiled.target.scratchpad is None:
        return {}
    return {program.name: estimate(program, compiled.target) for program in compiled.programs}


def _schedule(compiled: Compiled, timelines: Mapping[str, Timeline]) -> dict[str, Any] | None:
    """schedule.json: when each call and each transfer is predicted to begin and end."""
    if not timelines:
        return None
    functions = (re.findall(r"\w+(?=\()", prototype)[0] for prototype, _ in compiled.source.functions)
    return {
        "cores": compiled.target.cores,
        "entries": {
            entry.graph.name: entry_record(
                function, timelines[program.name].cycles, named(entry, program.steps, timelines[program.name].events),
                (k.symbol for c in entry.choices.values() for k in c.kernels if not k.costed),
            )
            for entry, program, function in zip(compiled.plan.entries, compiled.programs, functions, strict=True)
        },
    }  # fmt: skip


def _network(compiled: Compiled) -> str:
    source = compiled.source
    plain = compiled.model.language is None
    return render(
        "network.c.j2",
        prefix=compiled.prefix,
        summary=summary(compiled),
        public=plain,
        cores=source.cores,
        arena=source.arena,
        states=source.states,
        tables=source.tables,
        functions=source.functions,
        reset=plain,
        state_names=[name for _, name in source.state_names],
    )


def _internal(compiled: Compiled) -> str:
    bound = compiled.plan.entries[-1].graph.bound
    return render(
        "internal.h.j2",
        prefix=compiled.prefix,
        guard=guard(compiled.prefix),
        constants=[declaration for declaration, _ in compiled.source.constants],
        structs=compiled.source.structs,
        cores=compiled.source.cores,
        states=[f"{b.dtype.ctype} {name}[{b.elements}]" for b, name in compiled.source.state_names if bound],
        prototypes=[prototype for prototype, _ in compiled.source.functions],
    )


def _weights(compiled: Compiled) -> str:
    arrays = [(declaration, literal(buffer)) for declaration, buffer in compiled.source.constants]
    special = any("TW_NAN" in text or "TW_INFINITY" in text for _, text in arrays)
    return render("weights.c.j2", prefix=compiled.prefix, arrays=arrays, special=special)


def _memory(compiled: Compiled) -> str:
    entries, several = [], len(compiled.plan.capacity) > 1
    for entry in compiled.plan.entries:
        for memory in compiled.plan.capacity:
            found = [b for b in entry.blocks if b.memory == memory]
            if several and not found:
                continue
            blocks = sorted(found, key=lambda b: (b.offset, b.first))
            node = entry.graph.nodes[peak_step(found)].name if entry.graph.nodes else "-"
            peak = max((b.offset + b.bytes for b in blocks), default=0)
            name = f"{entry.graph.name}, {memory}" if several else entry.graph.name
            entries.append({"name": name, "node": node, "peak": peak, "blocks": blocks})
    return render(
        "memory.h.j2", prefix=compiled.prefix, guard=guard(compiled.prefix), memory=compiled.memory, entries=entries
    )


def _plain_face(compiled: Compiled) -> dict[str, str]:
    graph, program = compiled.plan.entries[-1].graph, compiled.programs[-1]
    prototype = compiled.source.functions[-1][0]
    interface: list[dict[str, Any]] = []
    names = Names()
    for value, buffer in zip((*graph.arguments, *graph.results), (*program.inputs, *program.outputs), strict=True):
        role = "input" if buffer.kind is Kind.INPUT else "output"
        variable = names.of((role, value.name), f"{role}_{identifier(value.name)}")
        interface.append({
            "name": value.name.replace("*/", "* /"), "macro": variable.upper(), "variable": variable, "role": role,
            "elements": max(1, value.type.size), "type": repr(value.type), "ctype": buffer.dtype.ctype,
        })  # fmt: skip
    call = wrap(f"    {compiled.prefix}_run({', '.join(io['variable'] for io in interface)});", 8)
    shared = {
        "prefix": compiled.prefix,
        "guard": guard(compiled.prefix),
        "interface": interface,
        "cores": compiled.source.cores,
    }
    header = render(
        "network.h.j2", summary=summary(compiled), memory=compiled.memory, prototype=prototype,
        states=compiled.source.states, converters=converters(compiled), **shared,
    )  # fmt: skip
    return {f"{compiled.prefix}.h": header, "main.c": render("main.c.j2", call=call, **shared)}
