"""`tilewright generate -t siracusa`: the text, and what is told below it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tilewright.cli import run
from tilewright.options import Options
from tilewright.targets.registry import find
from tilewright.targets.siracusa.target import TABLES


def test_cycles_energy_and_memories_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.json"
    words = ["generate", "tinystories", "-t", "siracusa", "--prompt", "The dog", "-n", "6", "--json", str(file)]
    assert run(words) == 0
    out, err = capfd.readouterr()
    found = json.loads(file.read_text())
    assert out.startswith("The dog")
    assert found["tokens_per_second"] == pytest.approx(360e6 / found["cycles_per_token"], rel=1e-3)
    (rate,) = re.search(r"^6 tokens, ([\d,]+) tokens/s on siracusa at 360 MHz \(assumed clock\)", err, re.M).groups()
    (cycles,) = re.search(r"^  cycles +([\d,]+) per token ", err, re.M).groups()
    assert int(cycles.replace(",", "")) == found["cycles_per_token"]
    assert int(rate.replace(",", "")) == round(found["tokens_per_second"])
    assert re.search(r"^  energy +[\d.]+ uJ per token +an energy model, not measured$", err, re.M)
    for memory, limit in (("l1", 256 << 10), ("l2", 0x1F0000), ("wmem", 8 << 20)):
        told = re.search(rf"^  {memory} +([\d,]+) of ([\d,]+) bytes", err, re.M)
        assert [int(n.replace(",", "")) for n in told.groups()] == [found["bytes_used"][memory], limit]
        assert found["bytes_available"][memory] == limit
    # a few tables lie in L1
    assert found["bytes_used"]["wmem"] + TABLES >= found["constant_bytes"]
    assert found["bytes_used"]["l1"] >= found["arena_bytes"] + found["state_bytes"] + 6144 + 7 * 2048
    assert found["bytes_used"]["l2"] >= found["code_bytes"]


@pytest.mark.parametrize(("l1", "tokens"), [(None, 64), (64_000, 32), (16_000, 8), (600, 1)])
def test_prompts_are_read_in_smaller_parts_where_l1_is_small(l1: int | None, tokens: int) -> None:
    assert find("siracusa", Options(l1=l1)).tokens_at_once == tokens
    assert find("host", Options(l1=l1)).tokens_at_once == find("host").language_chunk
