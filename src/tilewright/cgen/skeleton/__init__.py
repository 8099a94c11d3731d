"""Files from their skeletons (the .j2 files of this folder)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ... import __version__

if TYPE_CHECKING:
    import jinja2

    from ...compiled import Compiled


def guard(prefix: str) -> str:
    """The prefix as macros spell it."""
    return prefix.upper()


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("tilewright.cgen.skeleton", ""),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=False,
        autoescape=False,  # noqa: S701 (this makes C, not HTML)
    )


def render(skeleton: str, **values: Any) -> str:
    """A file from its skeleton."""
    return _environment().get_template(skeleton).render(**values)


def summary(compiled: Compiled) -> str:
    """One line on what this is."""
    named = f"{compiled.model.name}, " if compiled.model.name != compiled.prefix else ""
    text = f"{named}compiled by Tilewright {__version__} for {compiled.target.name}"
    return text.replace("*/", "* /")
