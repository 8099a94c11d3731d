"""Constants that stay in the scratchpad so that fewest transfers are left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tilewright.solve.resident import HIDDEN, MOST_KINDS, Kind, fewest_transfers
from tilewright.targets.registry import find

DMA = find("siracusa").dma
SIZES = st.lists(st.tuples(st.integers(1, 8), st.integers(16, 20000)), min_size=1, max_size=6)


def kinds_of(sizes: list[tuple[int, int]]) -> list[Kind]:
    """So many bundles of a size each."""
    return [{((i, f"{n}", ()),): size for n in range(count)} for i, (count, size) in enumerate(sizes)]


@given(SIZES, st.integers(0, 200000))
def test_what_stays_fits_and_no_kind_more_does(sizes: list[tuple[int, int]], room: int) -> None:
    assert DMA is not None
    kinds = kinds_of(sizes)
    stay = fewest_transfers(kinds, room, 1e9, DMA)

    def needed(some: list[Kind]) -> int:
        return sum(sum(k.values()) if k in some else 2 * max(k.values()) for k in kinds)

    if stay is None:
        assert needed([]) > room
        return
    assert needed([*stay]) <= room
    assert not any(needed([*stay, kind]) <= room for kind in kinds if kind not in stay)


def test_everything_stays_where_it_has_room_and_fewest_stream_else() -> None:
    assert DMA is not None
    kinds = kinds_of([(8, 1000), (8, 3000), (8, 2000)])
    assert fewest_transfers(kinds, 48000, 1e9, DMA) == kinds
    assert fewest_transfers(kinds, 47000, 1e9, DMA) == kinds[1:]  # as few transfers as without another, of fewer bytes
    assert fewest_transfers(kinds, 31000, 1e9, DMA) == [kinds[0], kinds[2]]


def test_no_answer_where_the_dma_would_have_too_much_to_do() -> None:
    assert DMA is not None
    kinds = kinds_of([(8, 1000), (8, 3000)])
    cycles = DMA.cycles(8000) / HIDDEN
    assert fewest_transfers(kinds, 27000, cycles + 1, DMA) == kinds[1:]
    assert fewest_transfers(kinds, 27000, cycles - 1, DMA) is None
    assert fewest_transfers(kinds_of([(1, 16)] * (MOST_KINDS + 1)), 1 << 20, 1e9, DMA) is None
