"""Train the byte-level BPE tokenizer of the bundled model.

The alphabet holds only the bytes that children's stories need: printable ASCII, newline, and the bytes seen in the
training text. That leaves about four hundred merges in a vocabulary of 512, where a full byte alphabet would leave 250.
A byte outside the alphabet becomes <unk>.
"""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
SEPARATOR = "<|endoftext|>"


def stories(path: Path) -> list[str]:
    """The stories of one text file, stripped, empty ones dropped."""
    pieces = path.read_text(encoding="utf-8").split(SEPARATOR)
    return [piece.strip() for piece in pieces if piece.strip()]


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE with GPT-2's word split; <s> in front, as the model is trained."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    printable = "".join(chr(code) for code in range(32, 127)) + "\n"
    alphabet = sorted({symbol for word, _ in byte_level.pre_tokenize_str(printable) for symbol in word})
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[UNK, BOS, EOS], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer
