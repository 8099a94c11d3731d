"""The list of passes. After each, the graph is verified and, where asked, dumped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..debug import debug
from ..ir.graph import Graph
from ..ir.text import text
from ..ir.verify import verify
from ..targets.base import Target
from .angles import angles
from .beside import beside
from .bias import bias_apart
from .caches import caches
from .fold import fold
from .fuse import fuse
from .heads import heads
from .layout import layout
from .names import names_apart
from .one_call import one_call
from .order import ordered, shared_views, together
from .own import own_constants
from .quantised import lower_quantised
from .recognise import recognise
from .rows import rows_read
from .saturate import saturate_apart
from .tables import joins, tables
from .tidy import outputs, tidy
from .widen import widen

Pass = Callable[[Graph, Target], Graph]

PIPELINE: tuple[Pass, ...] = (
    recognise,
    layout,
    tidy,
    rows_read,
    lower_quantised,
    widen,
    fuse,
    layout,
    tidy,
    tables,
    heads,
    caches,
    joins,
    layout,
    tidy,
    fold,
    beside,
    bias_apart,
    one_call,
    saturate_apart,
    angles,
    ordered,
    together,
    layout,
    shared_views,
    outputs,
    own_constants,
    names_apart,
)


def apply(graph: Graph, target: Target, dump: Path | None = None) -> Graph:
    """The graph after all passes for a target."""
    verify(graph)
    _dump(graph, dump, 0, "frontend")
    for number, step in enumerate(PIPELINE, 1):
        graph = verify(step(graph, target))
        _dump(graph, dump, number, step.__name__)
    return graph


def _dump(graph: Graph, folder: Path | None, number: int, name: str) -> None:
    debug(3, lambda: f"{graph.name} after {name}:\n{text(graph)}")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{graph.name}.{number:02d}.{name}.txt").write_text(text(graph))
