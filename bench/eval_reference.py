"""The loss of a model by the protocol of `tilewright evaluate`, from the plain numpy forward pass.

python bench/eval_reference.py MODEL --text FILE [--limit BYTES] [--tokenizer FILE]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tilewright.frontend.llm import load_model
from tilewright.lm.evaluate import evaluate, split_stories
from tilewright.lm.reference import Reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    checkpoint, vocabulary = load_model(args.model, args.tokenizer)
    stories = split_stories(args.text.read_text(encoding="utf-8"), args.limit)
    began = time.perf_counter()
    loss = evaluate(stories, vocabulary, checkpoint.config.context, Reference(checkpoint))
    print(
        f"{checkpoint.name}: {loss.nats_per_token:.5f} nats/token, {loss.bits_per_byte:.5f} bits/byte "
        f"({loss.stories:,} stories, {loss.tokens:,} tokens, {loss.bytes:,} bytes, {time.perf_counter() - began:.0f} s)"
    )


if __name__ == "__main__":
    main()
