"""TILEWRIGHT_DEBUG=1..5 shows on stderr what the compiler decides: 1 plan, 2 kernels, 3 passes, 4 menus, 5 solver."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

LEVEL = int(os.environ.get("TILEWRIGHT_DEBUG", "0") or 0) if os.environ.get("TILEWRIGHT_DEBUG", "0").isdigit() else 0


def debug(level: int, message: Callable[[], str]) -> None:
    """Print a message, made only if it is wanted."""
    if level <= LEVEL:
        print(message(), file=sys.stderr)
