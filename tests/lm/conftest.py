from __future__ import annotations

import os
from pathlib import Path

import pytest

from .clib import LanguageLibrary, build


@pytest.fixture(scope="session")
def c(tmp_path_factory: pytest.TempPathFactory) -> LanguageLibrary:
    """Tokenizer and sampler as generated projects carry them, compiled with zig."""
    return LanguageLibrary(build(tmp_path_factory.mktemp("lm") / "lm.so"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test data that is no part of the project."""
    folder = Path(os.environ.get("TILEWRIGHT_SHARED", Path(__file__).parents[3] / "shared"))
    if not (folder / "data" / "llm").is_dir():
        pytest.skip("the shared test data is not here (TILEWRIGHT_SHARED)")
    return folder / "data"
