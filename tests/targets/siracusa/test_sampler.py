"""The sampler on one core of the chip: the tokens of Python, and few cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tilewright.lm
from tilewright.lm.sampler import Sampler, Sampling, fixed_unit
from tilewright.sim import SimOptions, Simulation
from tilewright.targets.siracusa.build import compile_sources, link, runtime
from tilewright.targets.siracusa.target import RUNTIME

SOURCES = Path(tilewright.lm.__file__).parent / "c"
VOCABULARY, DRAWS, SCALE = 512, 6, 1 / 3000
PROGRAM = """
#include "sampler.h"
#include "siracusa.h"
int32_t tw_logits[VOCABULARY] __attribute__((section(".bss.near")));
uint8_t bins[VOCABULARY] __attribute__((section(".bss.near")));
tw_sampler_work work __attribute__((section(".bss.near")));
int32_t tw_tokens[DRAWS];
uint32_t tw_last;
void tw_program(int core)
{
    tw_sampler s;
    if (core != 0)
        return;
    work.bins = bins;
    tw_sampler_fixed(&s, UNIT, EXPONENT, TEMPERATURE, TOP_P, 5);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t began = tw_cycles();
        tw_tokens[i] = tw_sample(&s, tw_logits, VOCABULARY, &work);
        tw_last = tw_cycles() - began;
    }
}
"""


@pytest.mark.parametrize(
    ("temperature", "top_p", "most"), [(0, 1000, 3_000), (1000, 1000, 24_000), (1000, 900, 24_000), (300, 950, 20_000)]
)
def test_tokens_are_those_of_python(temperature: int, top_p: int, most: int, tmp_path: Path) -> None:
    unit, exponent = fixed_unit(SCALE)
    numbers = {
        "UNIT": f"{unit}ull", "EXPONENT": exponent, "TEMPERATURE": temperature, "TOP_P": top_p,
        "VOCABULARY": VOCABULARY, "DRAWS": DRAWS,
    }  # fmt: skip
    (tmp_path / "program.c").write_text("".join(f"#define {k} {v}\n" for k, v in numbers.items()) + PROGRAM)
    includes = [RUNTIME, RUNTIME / "include", SOURCES]
    objects = compile_sources([tmp_path / "program.c", SOURCES / "sampler.c"], includes, tmp_path)
    elf = link([*objects, *runtime(includes, tmp_path)], "*(.bss.near)", "", tmp_path / "sampler.elf")
    logits = np.rint(np.random.default_rng(3).standard_normal(VOCABULARY) * 2.5 / SCALE).astype(np.int32)
    with Simulation(elf, SimOptions(timing="gvsoc")) as chip:
        chip.write("tw_logits", logits.tobytes())
        assert chip.run(10_000_000).ok
        tokens = np.frombuffer(chip.read("tw_tokens", 4 * DRAWS), np.int32)
        cycles = int.from_bytes(chip.read("tw_last", 4), "little")
    sampler = Sampler(Sampling.fixed(unit, exponent, temperature, top_p, 5))
    assert list(tokens) == [sampler(logits) for _ in range(DRAWS)]
    assert cycles <= most
