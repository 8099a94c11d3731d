"""Any supported model file or folder -> Model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..model import Language, Model
from ..options import Options
from .bundled import BUNDLED

NETWORK, CONFIG = "network.onnx", "config.json"  # what a folder holds: a network with its vectors, a Hugging Face model


def holds_model(folder: Path) -> bool:
    """Whether a folder is one that `load` takes."""
    return any((folder / name).is_file() for name in (NETWORK, CONFIG))


def load(model: str, options: Options) -> Model:
    """The model at a path, or the bundled one by name. UserError where it cannot be read or is of no known kind."""
    path = BUNDLED.get(model, Path(model))
    if not path.exists():
        raise UserError(
            f"no such model: {model}", hint=f"give a file, a folder, or `{', '.join(BUNDLED)}` for the bundled model"
        )
    if path.is_dir() and not holds_model(path):
        raise UserError(f"{model} holds no model", rule=f"a folder has {CONFIG} (Hugging Face) or {NETWORK}")
    if path.suffix == ".onnx" or (path / NETWORK).is_file():
        from .quantlib import load_quantlib

        name = path.resolve().name.removesuffix(".onnx")  # exporters call every graph the same
        graph = replace(load_quantlib(path), name="run")
        if (options.quant or "none") != "none":
            from ..quant.post_training import quantised_model

            return quantised_model(name, graph, options)
        return Model(name, (graph,))
    return load_language_model(path, options)


def load_language_model(path: Path, options: Options) -> Model:
    """A llama checkpoint with its tokenizer: entries `prefill` (n tokens) and `decode` (one)."""
    from .llama import entries
    from .llm import load_model

    checkpoint, vocabulary = load_model(path, options.tokenizer)
    chunk = min(options.chunk or options.language_chunk, checkpoint.config.context)
    if (kind := options.quant or options.language_quant) != "none":
        from ..quant.lower import language_model, recipe_of

        recipe = recipe_of(kind, options)
        return language_model(checkpoint, vocabulary, chunk, recipe)
    language = Language(checkpoint, vocabulary, checkpoint.config.context, chunk)
    return Model(checkpoint.name, entries(checkpoint, chunk), language)
