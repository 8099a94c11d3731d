"""The sampler on one core of the chip and on all: the tokens of Python, and few cycles."""

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
DRAWS, SCALE = 6, 1 / 3000
PROGRAM = """
#include "sampler.h"
#include "siracusa.h"
#include "tw_cores.h"
#define NEAR __attribute__((section(".bss.near")))
int32_t tw_logits[VOCABULARY] NEAR;
uint8_t bins[VOCABULARY] NEAR;
tw_sampler_part parts[CORES] NEAR;
tw_sampler_work work NEAR;
tw_sampler s NEAR;
int32_t tw_tokens[DRAWS];
uint32_t tw_last;
static void meet(void)
{
    tw_barrier();
}
void tw_program(int core)
{
    const tw_team team = {(uint32_t)core, CORES, (VOCABULARY + CORES - 1) / CORES, meet};
    if (core == 0) {
        work.bins = bins, work.parts = parts;
        tw_sampler_fixed(&s, UNIT, EXPONENT, TEMPERATURE, TOP_P, 5);
    }
    for (int i = 0; i < DRAWS; i++) {
        tw_barrier();
        uint32_t began = tw_cycles();
        int32_t token = -1;
        if (CORES > 1)
            token = tw_sample_together(&s, tw_logits, VOCABULARY, &work, &team);
        else if (core == 0)
            token = tw_sample(&s, tw_logits, VOCABULARY, bins);
        tw_barrier();
        if (core == CORES - 1)
            tw_tokens[i] = token, tw_last = tw_cycles() - began;
    }
}
"""


SETTINGS = [(0, 1000), (1000, 1000), (1000, 900), (300, 950), (2000, 10), (1, 500)]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("cores", "vocabulary", "most"), [(1, 512, 36_000), (8, 512, 7_500), (8, 1003, 12_500), (8, 3, 2_500)]
)
def test_tokens_are_those_of_python(
    setting: tuple[int, int], cores: int, vocabulary: int, most: int, tmp_path: Path
) -> None:
    (temperature, top_p), (unit, exponent) = setting, fixed_unit(SCALE)
    numbers = {
        "UNIT": f"{unit}ull", "EXPONENT": exponent, "TEMPERATURE": temperature, "TOP_P": top_p,
        "VOCABULARY": vocabulary, "DRAWS": DRAWS, "CORES": cores,
    }  # fmt: skip
    (tmp_path / "program.c").write_text("".join(f"#define {k} {v}\n" for k, v in numbers.items()) + PROGRAM)
    includes = [RUNTIME, RUNTIME / "include", SOURCES]
    objects = compile_sources([tmp_path / "program.c", SOURCES / "sampler.c"], includes, tmp_path)
    elf = link([*objects, *runtime(includes, tmp_path)], "*(.bss.near)", "", tmp_path / "sampler.elf")
    logits = np.rint(np.random.default_rng(3).standard_normal(vocabulary) * 2.5 / SCALE).astype(np.int32)
    with Simulation(elf, SimOptions(timing="gvsoc")) as chip:
        chip.write("tw_logits", logits.tobytes())
        assert chip.run(10_000_000).ok
        tokens = np.frombuffer(chip.read("tw_tokens", 4 * DRAWS), np.int32)
        cycles = int.from_bytes(chip.read("tw_last", 4), "little")
    sampler = Sampler(Sampling.fixed(unit, exponent, temperature, top_p, 5))
    assert list(tokens) == [sampler(logits) for _ in range(DRAWS)]
    assert cycles <= most
