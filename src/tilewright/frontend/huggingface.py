"""Hugging Face folders of the llama family: config.json, safetensors, tokenizer.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import UserError
from .checkpoint import LlamaCheckpoint, LlamaConfig, Weights, sealed
from .files import parse_object, read_file, shown
from .safetensors import Entry, read_safetensors

MAX_JSON = 1 << 20

_BLOCK = {
    "norm_attn": "input_layernorm", "wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj", "norm_ffn": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}  # fmt: skip
_TOP = {"embed": "model.embed_tokens.weight", "norm_out": "model.norm.weight", "head": "lm_head.weight"}


@dataclass(frozen=True)
class HuggingFaceConfig:
    """What config.json says: the llama, and the special tokens where it names them."""

    llama: LlamaConfig
    bos: int | None
    eos: int | None


@dataclass(frozen=True)
class _Json:
    """A config.json whose members are read with type and default; defaults are those of `transformers`."""

    path: Path
    values: Mapping[str, Any]

    def refuse(self, problem: str, rule: str, hint: str = "") -> NoReturn:
        raise UserError(problem, where=str(self.path), rule=rule, hint=hint)

    def whole(self, key: str, default: int) -> int:
        value = self.values.get(key)
        value = default if value is None else value
        if type(value) is not int:
            self.refuse(f"{key} is {shown(value)}", f"{key} is a whole number")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if type(value) not in (int, float) or abs(value) > 1e30:
            self.refuse(f"{key} is {shown(value)}", f"{key} is a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if type(value) is not bool:
            self.refuse(f"{key} is {shown(value)}", f"{key} is true or false")
        return value

    def token(self, key: str) -> int | None:
        value = self.values.get(key)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is not None and type(value) is not int:
            self.refuse(f"{key} is {shown(value)}", f"{key} is one token")
        return value


def read_config(path: Path) -> HuggingFaceConfig:
    """Read config.json of a LlamaForCausalLM; what would change the forward pass beyond that is refused."""
    config = _Json(path, parse_object(read_file(path, MAX_JSON, "config.json"), path, "config.json"))
    names = config.values.get("architectures")
    if (names or ["LlamaForCausalLM"]) != ["LlamaForCausalLM"] or config.values.get("model_type") != "llama":
        kind = f"{shown(names)}, model_type {shown(config.values.get('model_type'))}"
        config.refuse(f"the model is {kind}", "model_type llama, architecture LlamaForCausalLM")
    for key, plain in {"rope_scaling": None, "attention_bias": False, "mlp_bias": False, "hidden_act": "silu"}.items():
        value = config.values.get(key, plain)
        if value != plain and value is not None:
            config.refuse(f"{key} is {shown(value)}", f"{key} is {plain if plain else 'absent or false'}")
    dim, heads = config.whole("hidden_size", 4096), config.whole("num_attention_heads", 32)
    if config.values.get("head_dim") is None and (heads < 1 or dim % heads):
        config.refuse(f"{shown(heads)} heads", f"hidden_size {shown(dim)} is a multiple of num_attention_heads")
    llama = LlamaConfig(
        dim=dim,
        hidden=config.whole("intermediate_size", 11008),
        layers=config.whole("num_hidden_layers", 32),
        heads=heads,
        kv_heads=config.whole("num_key_value_heads", heads),
        head_dim=config.whole("head_dim", dim // max(heads, 1)),
        vocab=config.whole("vocab_size", 32000),
        context=config.whole("max_position_embeddings", 2048),
        rope_theta=_theta(config),
        eps=config.number("rms_norm_eps", 1e-6),
        tied=config.flag("tie_word_embeddings", False),
    )
    llama.check(str(path))
    return HuggingFaceConfig(llama, config.token("bos_token_id"), config.token("eos_token_id"))


def _theta(config: _Json) -> float:
    """rope_theta, which newer files keep in `rope_parameters`."""
    nested = config.values.get("rope_parameters")
    if nested is None:
        return config.number("rope_theta", 10000.0)
    if not isinstance(nested, dict) or nested.get("rope_type", "default") != "default":
        config.refuse(f"rope_parameters is {shown(nested)}", "plain RoPE: rope_type is default")
    return _Json(config.path, nested).number("rope_theta", 10000.0)


def read_huggingface(folder: Path) -> tuple[LlamaCheckpoint, HuggingFaceConfig]:
    """Read config.json and the safetensors of a folder. Shapes must be exactly those of the configuration."""
    config = read_config(folder / "config.json")
    llama, entries = config.llama, _entries(folder)
    tensors: dict[str, Weights] = {}
    if len(entries) < len(_BLOCK) * llama.layers:
        rule = f"{llama.layers} blocks have {len(_BLOCK)} tensors each"
        raise UserError(f"{len(entries)} tensors", where=str(folder), rule=rule)
    wanted = {name: _stored_name(name) for name in llama.shapes()}
    strangers = [name for name in entries.keys() - wanted.values() if not _harmless(name)]
    if strangers:
        rule = "every tensor is one of llama's weights; biases and adapters are none"
        raise UserError(f"unknown tensor {shown(min(strangers))}", where=str(folder), rule=rule)
    for name, shape in llama.shapes().items():
        entry = entries.get(wanted[name])
        if entry is None or entry.shape != shape:
            found = f"has shape {entry.shape}" if entry else "is missing"
            raise UserError(f"tensor {wanted[name]} {found}", where=str(folder), rule=f"config.json asks for {shape}")
        tensors[name] = entry.read()
    for i in range(llama.layers):
        for name, heads in (("wq", llama.heads), ("wk", llama.kv_heads)):
            tensors[f"blocks.{i}.{name}"] = interleaved(tensors[f"blocks.{i}.{name}"], heads)
    return sealed(folder.resolve().name, llama, tensors, str(folder)), config


def interleaved(weight: Weights, heads: int) -> Weights:
    """Rows of q or k from Hugging Face's halves (i, i + hd/2) to neighbours (2i, 2i+1). weight: [heads * hd, in]."""
    halves = weight.reshape(heads, 2, -1, weight.shape[-1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def _stored_name(name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    _, block, kind = name.split(".")
    return f"model.layers.{block}.{_BLOCK[kind]}.weight"


def _harmless(name: str) -> bool:
    """Tables that old files store though they can be computed, and a head that repeats a tied embedding."""
    return name.endswith("rotary_emb.inv_freq") or name == _TOP["head"]


def _entries(folder: Path) -> dict[str, Entry]:
    """All tensors of model.safetensors, or of the files that model.safetensors.index.json lists."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return read_safetensors(single)
    if not index.exists():
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        hint = (
            f"{pickles[0]} is a pickle, which can run code and is never opened: export safetensors" if pickles else ""
        )
        raise UserError("no model.safetensors", where=str(folder), rule="weights come as safetensors", hint=hint)
    listed = parse_object(read_file(index, MAX_JSON << 3, index.name), index, index.name).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()):
        raise UserError("no weight_map", where=str(index), rule="weight_map names the file of each tensor")
    entries: dict[str, Entry] = {}
    for name in sorted(set(listed.values())):
        if Path(name).name != name or "\\" in name or "\0" in name or not name.endswith(".safetensors"):
            rule = "shards are .safetensors files in the same folder"
            raise UserError(f"weight_map names {shown(name)}", where=str(index), rule=rule)
        shard = read_safetensors(folder / name)
        entries |= {tensor: entry for tensor, entry in shard.items() if listed.get(tensor) == name}
    if missing := listed.keys() - entries.keys():
        rule = "each tensor of weight_map is in its file"
        raise UserError(
            f"tensor {shown(min(missing))} is not in {shown(listed[min(missing)])}", where=str(index), rule=rule
        )
    return entries
