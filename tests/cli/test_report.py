"""What the report and `explain` say is what the plan says."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Tilewright
from tilewright.errors import UserError
from tilewright.report.html import HEIGHT, html, timeline
from tilewright.report.record import read
from tilewright.report.summary import alike, alive, peak


@pytest.fixture(scope="module")
def plan(compiled_toy: Path) -> dict[str, Any]:
    return read(compiled_toy)[0]


def test_the_report_is_one_file_that_loads_nothing(compiled_toy: Path, plan: dict[str, Any]) -> None:
    page = (compiled_toy / "report.html").read_text()
    assert not re.search(r"https?:|//[a-z]|src=|href=|@import|url\(", page)
    for node in plan["entries"][-1]["nodes"]:
        assert f"<code>{node['name']}</code>" in page
    assert "prefers-color-scheme: dark" in page


def test_after_a_build_the_report_has_the_sizes(compiled_toy: Path) -> None:
    sizes = json.loads((compiled_toy / "build" / "sizes.json").read_text())
    page = (compiled_toy / "report.html").read_text()
    assert f"{sizes['stack']:,} bytes" in page
    assert f"{sizes['code'] + sizes['constants']:,} bytes" in page


def test_drawings_are_well_formed_and_complete(plan: dict[str, Any]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", html(plan), re.DOTALL)
    assert len(drawings) == len(plan["entries"])
    for drawing, entry in zip(drawings, plan["entries"], strict=True):
        boxes = [e for e in ET.fromstring(drawing).iter("rect") if e.get("class") == "box"]
        assert len(boxes) == len(entry["blocks"])


def test_boxes_lie_where_the_blocks_lie(plan: dict[str, Any]) -> None:
    capacity = sum(plan["capacity"].values())
    for entry in plan["entries"]:
        drawing = timeline(entry, capacity)
        assert drawing is not None
        per_step = drawing.width / len(entry["nodes"])
        for box, block in zip(drawing.boxes, entry["blocks"], strict=True):
            assert round(box.x / per_step, 6) == block["first"]
            assert round((box.x + box.width) / per_step, 6) == block["last"] + 1
            assert (HEIGHT - box.y - box.height) * capacity / HEIGHT == pytest.approx(block["offset"], abs=1e-6)
            assert box.y >= -1e-9


BLOCKS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 100)), min_size=1, max_size=12)


@given(BLOCKS)
def test_the_peak_is_the_step_with_most_bytes_alive(spans: list[tuple[int, int, int]]) -> None:
    blocks = [
        {"name": f"b{i}", "first": min(a, b), "last": max(a, b), "bytes": size, "offset": 0}
        for i, (a, b, size) in enumerate(spans)
    ]
    entry = {"name": "run", "blocks": blocks, "nodes": [{"name": f"n{i}"} for i in range(10)]}
    totals = [sum(b["bytes"] for b in blocks if b["first"] <= step <= b["last"]) for step in range(10)]
    found = peak(entry)
    assert found.bytes == max(totals)
    starts = sorted({b["first"] for b in blocks})
    assert found.step == next(step for step in starts if totals[step] == max(totals)), "the first of equals"
    assert found.node == f"n{found.step}"
    assert sum(b["bytes"] for b in alive(entry, found.step)) == found.bytes


def test_blocks_of_equal_layers_are_one_line() -> None:
    sizes = {"blocks.0.wq": 8, "blocks.1.wq": 8, "blocks.2.wq": 16, "x": 20, "blocks.0.b.1.c": 8}
    found = alike([{"name": name, "bytes": size} for name, size in sizes.items()])
    assert [(name, count) for name, count, _ in found] == [
        ("x", 1), ("blocks.*.wq", 2), ("blocks.2.wq", 1), ("blocks.0.b.1.c", 1)
    ]  # fmt: skip


def test_hostile_names_stay_text(plan: dict[str, Any]) -> None:
    name = "<script>alert(1)</script>&\"'"
    hostile = json.loads(json.dumps(plan).replace("blocks.0.attention", json.dumps(name)[1:-1]))
    page = html(hostile)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_report_tells_totals_and_peaks(
    tilewright: Tilewright, compiled_toy: Path, plan: dict[str, Any], tmp_path: Path
) -> None:
    run = tilewright("report", compiled_toy, "--html", tmp_path / "r.html", "--top", 3)
    assert run.code == 0
    assert {"ram_bytes", "flash_bytes", "stack_bytes", "macs", "layers"} <= run.json.keys()
    for entry in plan["entries"]:
        found = peak(entry)
        assert f"{entry['name']}: {found.bytes:,} bytes alive at step {found.step}, {found.node}" in run.out
    assert (tmp_path / "r.html").read_text() == (compiled_toy / "report.html").read_text()


def test_explain_tells_kernel_place_and_company(
    tilewright: Tilewright, compiled_toy: Path, plan: dict[str, Any]
) -> None:
    run = tilewright("explain", compiled_toy, "blocks.1.gate")
    assert run.code == 0
    assert [n["entry"] for n in run.json["nodes"]] == ["prefill", "decode"]
    for entry, found in zip(plan["entries"], run.json["nodes"], strict=True):
        node = entry["nodes"][found["step"]]
        assert node["name"] == "blocks.1.gate"
        block = next(b for b in entry["blocks"] if b["name"] == "blocks.1.gate")
        place = found["places"]["blocks.1.gate"]
        assert (place["offset"], place["bytes"]) == (block["offset"], block["bytes"])
        assert found["places"][node["inputs"][1]]["kind"] == "constant"
        assert found["alive_bytes"] == sum(b["bytes"] for b in alive(entry, found["step"]))
        assert f"runs as {node['kernel']}" in run.out


def test_explain_finds_a_node_by_its_origin(tilewright: Tilewright, compiled_dense: Path) -> None:
    run = tilewright("explain", compiled_dense, "/net/MatMul_7")
    assert run.code == 0
    assert run.out.startswith("s in run: Linear, step 0, from /net/MatMul_7")
    assert run.json["nodes"][0]["places"]["x"] == {"kind": "the caller's"}


@pytest.mark.parametrize(
    "wrong", [{"first": -1}, {"last": 10_000}, {"first": 3, "last": 2}, {"bytes": -1}, {"offset": "0"}]
)
def test_blocks_outside_the_steps_are_damage(plan: dict[str, Any], tmp_path: Path, wrong: dict[str, Any]) -> None:
    damaged = json.loads(json.dumps(plan))
    damaged["entries"][0]["blocks"][0] |= wrong
    (tmp_path / "plan.json").write_text(json.dumps(damaged))
    with pytest.raises(UserError, match="damaged"):
        read(tmp_path)


@given(st.data())
def test_damaged_plans_are_refused(
    tmp_path_factory: pytest.TempPathFactory, plan: dict[str, Any], data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    text = json.dumps({k: v for k, v in plan.items() if k != "constants"} | {"constants": []})
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = data.draw(
        st.sampled_from([text[:at], text[:at] + "7" + text[at:], text[:at] + text[at + 1 :], "[]", "{}"])
    )
    (folder / "plan.json").write_text(damaged)
    try:
        found, _ = read(folder)
    except UserError:
        return
    for entry in found["entries"]:
        assert peak(entry).bytes >= 0
