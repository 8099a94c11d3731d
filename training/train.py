"""Train the bundled TinyStories model: `python training/train.py --text DIR --out DIR --tokens 40e6`.

Reads tinystories_train.txt, tinystories_extra.txt and sampled_by_stories260K.txt.xz from --text; never the valid split,
except to print its loss at the end. Writes a Hugging Face folder: config.json, model.safetensors, tokenizer.json.
"""

import argparse
import json
import lzma
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from model import Config, Llama
from optimiser import Muon
from tokenizer import BOS, EOS, SEPARATOR, stories, train_tokenizer

IGNORE = -100


class Stream:
    """One token stream with the offsets at which stories begin."""

    def __init__(self, tokenizer: Tokenizer, texts: list[str]) -> None:
        eos = tokenizer.token_to_id(EOS)
        pieces = [np.array([*e.ids, eos], np.int16) for e in tokenizer.encode_batch_fast(texts)]
        self.tokens = np.concatenate(pieces)
        self.starts = np.cumsum([0] + [len(p) for p in pieces[:-1]])

    def windows(self, rng: np.random.Generator, count: int, length: int, at_start: float) -> np.ndarray:
        """[count, length + 1]: a share of the windows begins with a story, as every use of the model does."""
        begin = rng.choice(self.starts, count)
        anywhere = rng.random(count) > at_start
        begin[anywhere] = rng.integers(0, len(self.tokens), anywhere.sum())
        begin = np.minimum(begin, len(self.tokens) - length - 1)
        return self.tokens[begin[:, None] + np.arange(length + 1)]


def schedule(done: float, plateau: float) -> float:
    """Share of the peak learning rate: short warm-up, plateau, linear decay to nothing."""
    return min(done / 0.01, 1.0, max(0.0, (1.0 - done) / (1.0 - plateau)))


@torch.no_grad()
def evaluate(model: torch.nn.Module, tokenizer: Tokenizer, texts: list[str], context: int) -> tuple[float, float]:
    """(nats/token, bits/byte): fresh state and <s> per story, its first `context` tokens, <s> and </s> unscored."""
    model.eval()
    nats, tokens, size = 0.0, 0, 0
    for at in range(0, len(texts), 32):
        encoded = [e.ids[:context] for e in tokenizer.encode_batch(texts[at : at + 32])]
        batch = torch.zeros(len(encoded), context, dtype=torch.long)
        labels = torch.full((len(encoded), context), IGNORE)
        for row, ids in enumerate(encoded):
            batch[row, : len(ids)] = torch.tensor(ids)
            labels[row, : len(ids) - 1] = torch.tensor(ids[1:])
            size += len(tokenizer.decode(ids[1:]).encode())
        logits = model(batch)
        nats += F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum").item()
        tokens += int((labels != IGNORE).sum())
    model.train()
    return nats / tokens, nats / size / math.log(2)


def save(model: Llama, tokenizer: Tokenizer, out: Path) -> None:
    """A Hugging Face llama folder."""
    cfg = model.cfg
    out.mkdir(parents=True, exist_ok=True)
    tensors = {"model.embed_tokens.weight": model.embed, "model.norm.weight": model.norm_out}
    names = {
        "self_attn.q_proj": model.q, "self_attn.k_proj": model.k,
       "self_attn.v_proj": model.v, "self_attn.o_proj": model.o,
        "mlp.gate_proj": model.gate, "mlp.up_proj": model.up, "mlp.down_proj": model.down,
        "input_layernorm": model.norm_attn, "post_attention_layernorm": model.norm_ffn,
    }  # fmt: skip
    for name, stack in names.items():
        for i in range(cfg.layers):
            tensors[f"model.layers.{i}.{name}.weight"] = stack[i]
    save_file({k: v.detach().float().contiguous() for k, v in tensors.items()}, out / "model.safetensors")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "torch_dtype": "float32",
        "hidden_size": cfg.dim, "intermediate_size": cfg.hidden, "num_hidden_layers": cfg.layers,
        "num_attention_heads": cfg.heads, "num_key_value_heads": cfg.kv_heads, "head_dim": cfg.head_dim,
        "vocab_size": cfg.vocab, "max_position_embeddings": cfg.context, "rms_norm_eps": cfg.eps,
        "rope_theta": cfg.theta, "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": tokenizer.token_to_id(BOS), "eos_token_id": tokenizer.token_to_id(EOS),
    }  # fmt: skip
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save(str(out / "tokenizer.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=float, default=40e6, help="tokens to train on")
    parser.add_argument("--batch", type=int, default=16, help="windows per step")
    parser.add_argument("--lr", type=float, default=0.02, help="peak learning rate of Muon; AdamW takes 0.15 of it")
    parser.add_argument(
        "--real", type=float, default=0.6, help="share of real text at first; rises to 0.9 in the decay"
    )
    parser.add_argument("--plateau", type=float, default=0.4, help="share of the run before the rate decays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="torch.compile, needs a C++ compiler")
    parser.add_argument("--resume", type=Path, help="start from this checkpoint's weights (checkpoint.safetensors)")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    cfg = Config()
    real_text = stories(args.text / "tinystories_train.txt") + stories(args.text / "tinystories_extra.txt")
    with lzma.open(args.text / "sampled_by_stories260K.txt.xz", "rt") as file:
        sampled_text = file.read().split(SEPARATOR)
    tokenizer = train_tokenizer(real_text, cfg.vocab)
    real = Stream(tokenizer, real_text)
    sampled = Stream(tokenizer, [piece.strip() for piece in sampled_text if piece.strip()])
    print(f"{len(real.tokens):,} real tokens, {len(sampled.tokens):,} sampled", flush=True)

    model = Llama(cfg)
    if args.resume:
        model.load_state_dict(load_file(args.resume))
    step_model = torch.compile(model) if args.compile else model
    muon = Muon(model.matrices(), lr=args.lr, decay=0.01)
    matrices = {id(p) for p in model.matrices()}
    rest = [p for p in model.parameters() if id(p) not in matrices]
    adam = torch.optim.AdamW(rest, lr=0.15 * args.lr, betas=(0.9, 0.95), weight_decay=0.0)
    peaks = [(muon, args.lr), (adam, 0.15 * args.lr)]

    per_step = args.batch * cfg.context
    steps = int(args.tokens / per_step)
    began, mean = time.time(), 0.0
    for step in range(steps):
        done = step / steps
        for optimiser, peak in peaks:
            optimiser.param_groups[0]["lr"] = peak * schedule(done, args.plateau)
        share = args.real + (0.9 - args.real) * max(0.0, done - args.plateau) / (1.0 - args.plateau)
        count = int(rng.binomial(args.batch, share))
        window = np.concatenate([
            real.windows(rng, count, cfg.context, 0.7), sampled.windows(rng, args.batch - count, cfg.context, 0.7)
        ]).astype(np.int64)  # fmt: skip
        batch = torch.from_numpy(window)
        loss = F.cross_entropy(step_model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        for optimiser, _ in peaks:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        mean = loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            rate = (step + 1) * per_step / (time.time() - began)
            print(
                f"step {step}/{steps} loss {mean:.4f} {rate:,.0f} tokens/s {time.time() - began:.0f} s",
                flush=True,
            )
        if step % 1000 == 999 or step == steps - 1:
            save(model, tokenizer, args.out)
            save_file(model.state_dict(), args.out / "checkpoint.safetensors")
            sample = stories(args.text / "tinystories_valid.txt")[: 400 if step < steps - 1 else None]
            nats, bpb = evaluate(model, tokenizer, sample, cfg.context)
            print(f"valid ({len(sample)} stories): {nats:.4f} nats/token, {bpb:.4f} bits/byte", flush=True)


if __name__ == "__main__":
    main()
