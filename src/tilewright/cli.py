"""The command line: verbs by name, imported only when used; every failure ends in one message and an exit code.

Exit codes: 0 done; 1 a comparison failed; 2 the user can mend it (one message, no traceback); 70 a defect of
Tilewright (`TILEWRIGHT_DEBUG=1` shows the traceback); 130 interrupted. `simulate` passes on the program's own code.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import UserError
from .output import BROKEN_PIPE, INTERNAL, INTERRUPTED, OK, USER, Outcome, say

PACKAGE = __package__ or "tilewright"


@dataclass(frozen=True)
class Verb:
    """Where a verb lives: a module of the package, and the click command in it. The help is for the overview."""

    module: str
    command: str
    help: str

    @property
    def exists(self) -> bool:
        try:
            return find_spec(f"{PACKAGE}.{self.module}") is not None
        except ModuleNotFoundError:  # not even the folder
            return False

    def load(self) -> click.Command:
        found = getattr(importlib.import_module(f"{PACKAGE}.{self.module}"), self.command)
        assert isinstance(found, click.Command)
        return found


VERBS = {
    "compile": Verb("commands.compile", "compile_", "Compile a model to a self-contained C project."),
    "run": Verb("commands.run", "run", "Build and run a compiled network, compare its outputs."),
    "generate": Verb("commands.generate", "generate", "Let a language model continue a text, in compiled C."),
    "evaluate": Verb("commands.evaluate", "evaluate", "Measure the loss of a language model on a text."),
    "quantize": Verb("commands.quantize", "quantize", "Quantise a network or language model, tell what it cost."),
    "report": Verb("commands.report", "report", "Show memory, layers and totals of a compiled network."),
    "explain": Verb("commands.report", "explain", "Say why a node runs and lies where it does."),
    "targets": Verb("commands.targets", "targets", "List what Tilewright compiles for."),
    "conformance": Verb("conformance.command", "conformance", "Run a folder of test cases, count who passes."),
    "simulate": Verb("simulate_cmd", "simulate", "Run a bare-metal ELF on the simulated chip."),
}


class Stopped(Exception):  # noqa: N818 (nothing is wrong)
    """Somebody stopped the program."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Verbs(click.Group):
    """The group of verbs. Its help needs none of them imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, verb in VERBS.items() if verb.exists]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        return verb.load() if verb is not None and verb.exists else None

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but a closed pipe and an interrupt stay what they are: click would exit or print by itself."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise Stopped(BROKEN_PIPE, "nobody reads the output any more") from error
        except KeyboardInterrupt as error:
            raise Stopped(INTERRUPTED, "interrupted") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, VERBS[name].help) for name in self.list_commands(ctx)])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tilewright")
def cli() -> None:
    """Compile neural networks, small language models first, to plain C for microcontrollers.

    MODEL is a file or folder of a supported format, or `tinystories`, the bundled model.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line. Writes the file of `--json` whatever happened."""
    outcome = Outcome()
    words = list(sys.argv[1:] if arguments is None else arguments)
    code, error = _guarded(words, outcome)
    try:
        if outcome.file is None and code == USER:
            outcome.file = _json_file(words)
        outcome.write(code, error)
    except OSError as failure:
        say(f"error: cannot write {outcome.file}: {failure.strerror or failure}")
        return code or USER
    return code


def _guarded(words: list[str], outcome: Outcome) -> tuple[int, str | None]:
    """Exit code and message of a command line; prints the message."""
    try:
        result: Any = cli.main(args=words, prog_name="tilewright", standalone_mode=False, obj=outcome)
        sys.stdout.flush()
    except UserError as error:
        return _told(USER, str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return USER, "no verb was given"
    except click.ClickException as error:
        hint = f"; `{error.ctx.command_path} --help` tells more" if getattr(error, "ctx", None) else ""  # type: ignore[attr-defined]
        return _told(USER, error.format_message().rstrip(".") + hint)
    except Stopped as stop:
        if stop.code == INTERRUPTED:
            return _told(stop.code, str(stop))
        return _unread()
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _told(INTERRUPTED, "interrupted")
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _told(USER, f"{where}{error.strerror or error}")
    except SystemExit as stop:
        return (stop.code if isinstance(stop.code, int) else OK if stop.code is None else 1), None
    except Exception as error:
        return _defect(error)
    code = result if isinstance(result, int) else OK
    return code, outcome.fields.pop("error", None)


def _unread() -> tuple[int, str]:
    """Standard output has no reader any more, which is nobody's mistake: say nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter fails once more at exit
    return BROKEN_PIPE, "nobody reads the output any more"


def _told(code: int, message: str) -> tuple[int, str]:
    say(f"error: {message}")
    return code, message


def _defect(error: Exception) -> tuple[int, str]:
    """A failure that no user caused."""
    if os.environ.get("TILEWRIGHT_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    text = " ".join(str(error).split())[:500]
    message = f"internal error, please report it: {type(error).__name__}{f': {text}' if text else ''}"
    return _told(INTERNAL, f"{message}; TILEWRIGHT_DEBUG=1 shows where")


def _json_file(words: list[str]) -> Path | None:
    """The file of `--json` in a command line that click could not read."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word == "--json" and following:
            return Path(following)
        if word.startswith("--json="):
            return Path(word.removeprefix("--json="))
    return None


def main() -> None:
    """Entry point of the program `tilewright`."""
    sys.exit(run())


if __name__ == "__main__":
    main()
