"""The bound of the stack, from object files of the chip's compiler."""

from __future__ import annotations

from pathlib import Path

from tilewright.targets.host.measure import measure
from tilewright.targets.siracusa.build import compile_sources

DEEP = """
#include <stdint.h>
#define HOT(n) __attribute__((noinline, section(".text.hot." #n)))
void far_away(volatile int32_t *numbers);
static HOT(1) int32_t deep(int32_t n)
{
    volatile int32_t numbers[200];
    numbers[n] = n;
    far_away(numbers);
    return numbers[n];
}
static HOT(1) int32_t beside(int32_t n) { volatile int32_t one = n; return one; }
HOT(2) int32_t first(int32_t n) { return deep(n) + 1; }
HOT(3) int32_t second(int32_t n) { return beside(n) + 1; }
"""


def test_functions_in_sections_of_other_names_are_in_the_bound(tmp_path: Path) -> None:
    source = tmp_path / "deep.c"
    source.write_text(DEEP)
    objects = compile_sources([source], [], tmp_path)
    deep, beside = measure(objects, ["first"]), measure(objects, ["second"])
    assert deep.unknown == ("far_away",)
    assert 800 < deep.stack < 900
    assert beside.unknown == ()
    assert 0 < beside.stack < 100
