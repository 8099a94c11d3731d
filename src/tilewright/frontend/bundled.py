"""The models that ship with the package, by name."""

from __future__ import annotations

from pathlib import Path

BUNDLED = {"tinystories": Path(__file__).parents[1] / "models" / "tinystories"}
