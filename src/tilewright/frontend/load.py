"""Any supported model file or folder -> Model."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from ..errors import UserError
from ..model import Language, Model
from ..options import Options

BUNDLED = "tinystories"


def load(model: str, options: Options) -> Model:
    """The model at a path, or the bundled one by name. UserError where it cannot be read or is of no known kind."""
    path = Path(str(files("tilewright") / "models" / BUNDLED)) if model == BUNDLED else Path(model)
    if not path.exists():
        raise UserError(f"no such model: {model}", hint=f"give a file, a folder, or `{BUNDLED}` for the bundled model")
    if path.suffix == ".onnx" or (path / "network.onnx").is_file():
        from .quantlib import load_quantlib

        graph = load_quantlib(path)
        return Model(graph.name, (replace(graph, name="run"),))
    return load_language_model(path, options)


def load_language_model(path: Path, options: Options) -> Model:
    """A llama checkpoint with its tokenizer: entries `prefill` (n tokens) and `decode` (one)."""
    from .llama import entries
    from .llm import load_model

    checkpoint, vocabulary = load_model(path, options.tokenizer)
    chunk = min(options.chunk, checkpoint.config.context)
    if (kind := options.quant or "none") != "none":
        from ..quant.lower import language_model

        return language_model(checkpoint, vocabulary, chunk, kind, options.calibrate)
    language = Language(checkpoint, vocabulary, checkpoint.config.context, chunk)
    return Model(checkpoint.name, entries(checkpoint, chunk), language)
