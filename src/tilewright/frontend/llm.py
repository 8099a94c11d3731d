"""A language model with its tokenizer, from whatever the user points at."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..lm.vocabulary import Vocabulary
from .bundled import BUNDLED
from .checkpoint import LlamaCheckpoint
from .files import open_file
from .huggingface import read_huggingface
from .llama2c import read_llama2c
from .tokenizer_bin import read_tokenizer_bin
from .tokenizer_json import read_tokenizer_json


def load_model(path: Path, tokenizer: Path | None = None) -> tuple[LlamaCheckpoint, Vocabulary]:
    """Read a Hugging Face folder, a llama2.c .bin, or a bundled model by name, with its tokenizer.

    `tokenizer` wins over what lies beside the model: tokenizer.json in a folder, tok<vocab>.bin or tokenizer.bin beside
    a .bin. The vocabulary has as many tokens as the embedding has rows. Raises UserError.
    """
    if not path.exists() and str(path) in BUNDLED:
        path = BUNDLED[str(path)]
    if not path.exists():
        hint = f"give a Hugging Face folder, a llama2.c .bin, or one of: {', '.join(BUNDLED)}"
        raise UserError("no such file or folder", where=str(path), hint=hint)
    bos = eos = None
    if path.is_dir():
        checkpoint, config = read_huggingface(path)
        bos, eos = config.bos, config.eos
        candidates = [path / "tokenizer.json"]
    else:
        checkpoint = read_llama2c(path)
        candidates = [path.with_name(f"tok{checkpoint.config.vocab}.bin"), path.with_name("tokenizer.bin")]
    found = tokenizer or next((candidate for candidate in candidates if candidate.exists()), None)
    if found is None:
        names = " or ".join(candidate.name for candidate in candidates)
        raise UserError(
            "no tokenizer", where=str(path), rule=f"{names} lies beside the weights", hint="use --tokenizer"
        )
    vocabulary = _read_tokenizer(found, bos, eos)
    rows = checkpoint.config.vocab
    if len(vocabulary) > rows or (len(vocabulary) < rows and not path.is_dir()):
        rule = f"the embedding of {path} has {rows} rows"
        raise UserError(f"{len(vocabulary)} tokens", where=str(found), rule=rule, hint="use --tokenizer")
    return checkpoint, vocabulary.with_size(rows)


def _read_tokenizer(path: Path, bos: int | None, eos: int | None) -> Vocabulary:
    """Decide by content: JSON begins with a brace, llama2.c's file with a small int32."""
    with open_file(path) as file:
        json = file.read(16).lstrip()[:1] == b"{"
    return read_tokenizer_json(path, bos=bos, eos=eos) if json else read_tokenizer_bin(path)
