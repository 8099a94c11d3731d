"""Plans, schedules and reports of the chip agree with each other and with what the simulator saw."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import QUANTLIB, needs_shared
from tilewright.api import Compiled, compile_file
from tilewright.cgen.project import files, write
from tilewright.cli import run
from tilewright.options import Options
from tilewright.report.html import html
from tilewright.report.record import read
from tilewright.report.timeline import TRANSFERS, by_node, entry_record, events_of, perfetto, phases, spans
from tilewright.report.timeline import read as read_timeline
from tilewright.schedule.estimate import Event
from tilewright.targets.siracusa.observe import simulated as observe

pytestmark = needs_shared
KWS = QUANTLIB / "Models" / "MLPerf" / "KeywordSpotting"
L1 = 16_000


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    """On the cores alone: their weights come through L1, and layers are cut."""
    return compile_file(str(KWS), "siracusa", Options(l1=L1, npu="off"))


@pytest.fixture(scope="module")
def folder(compiled: Compiled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled, and run twice on the simulator."""
    made = tmp_path_factory.mktemp("timeline") / "kws"
    write(compiled, made)
    words = ["run", made, "--inputs", KWS / "inputs.npz", "--expect", KWS / "outputs.npz", "--repeat", 2]
    words += ["--json", made / "run.json", "--perfetto", made / "perfetto.json"]
    assert run(list(map(str, words))) == 0
    return made


def test_the_record_agrees_with_the_plan(compiled: Compiled, folder: Path) -> None:
    plan, _ = read(folder)
    entry, (decided,) = plan["entries"][0], compiled.plan.entries
    assert [tuple(b.values()) for b in entry["blocks"]] == [
        (b.name, b.memory, b.offset, b.bytes, b.first, b.last) for b in decided.blocks
    ]
    nodes = {n["name"]: n for n in entry["nodes"]}
    assert any(n.get("tile") for n in nodes.values())
    for name, choice in decided.choices.items():
        way, told = choice.tiled, nodes[name]
        assert way is not None
        assert told["tile"] == (dict(way.tile) or None)
        assert (told["tiles"], told["buffers"], told["early"]) == (way.count, way.depth, choice.early)
        buffers = {b.name: b.bytes for b in decided.blocks}
        for stream in told["streams"]:
            assert buffers[f"{name}.{stream['operand']}"] == stream["buffer"]
        assert len(told["alternatives"]) <= 6
        assert all(other["why"] for other in told["alternatives"])


def test_phases_of_both_sides_add_up(folder: Path) -> None:
    schedule, simulated = read_timeline(folder)
    assert schedule is not None
    assert simulated is not None
    predicted, seen = schedule["entries"]["run"], simulated["entries"]["run"]
    for entry in (predicted, seen):
        assert sum(span.cycles for span in spans(entry)) == pytest.approx(entry["cycles"], abs=1)
        complete = {**entry, "uncosted": []}
        assert sum(cycles for cycles, _ in by_node(complete).values()) == pytest.approx(entry["cycles"], abs=1)
    assert [s.names for s in spans(predicted)] == [s.names for s in spans(seen)]
    nodes = [n["name"] for n in read(folder)[0]["entries"][0]["nodes"] if n["kernel"]]
    assert [s.names for s in spans(seen)] == [(name,) for name in nodes], "each node once, repeated layers too"
    assert all(p["cycles_simulated"] > 0 for p in phases(predicted, seen))
    told = json.loads((folder / "run.json").read_text())
    assert sum(p["cycles_simulated"] for p in told["phases"]) == pytest.approx(told["cycles"], rel=0.01)
    assert {layer["name"] for layer in told["layers"] if layer["cycles_simulated"]} == {
        name for span in spans(seen) for name in span.names
    }
    assert told["energy_uj"] == pytest.approx(sum(term["uj"] for term in seen["energy"]), abs=0.01)


@pytest.mark.parametrize("options", [Options(), Options(npu="off"), Options(l1=20_000)])
def test_calls_of_loops_have_the_names_of_their_rounds(options: Options) -> None:
    """Every node has its calls, in a prompt of two parts too; equal nodes come in the order of the layers."""
    made = compile_file("tinystories", "siracusa", options)
    plans = {entry.graph.name: entry for entry in made.plan.entries}
    for name, entry in json.loads(files(made)["schedule.json"])["entries"].items():
        begins: dict[str, int] = {}
        for event in events_of(entry):
            if event.phase >= 0:
                begins.setdefault(event.name, event.phase)
        assert begins.keys() == plans[name].choices.keys()
        for kind in ("attn_in", "attention", "ffn_in"):
            phases_of = [begins[f"blocks.{i}.{kind}"] for i in range(8)]
            assert phases_of == sorted(set(phases_of))


def test_transfers_are_those_of_the_plan(folder: Path) -> None:
    schedule, simulated = read_timeline(folder)
    assert schedule is not None
    assert simulated is not None
    sizes = [
        {track: [e.bytes for e in events_of(s["entries"]["run"]) if e.track == track] for track in TRANSFERS}
        for s in (schedule, simulated)
    ]
    assert sizes[0] == sizes[1]
    assert all(sizes[0].values())


def test_perfetto_has_the_same_tracks_on_both_sides(folder: Path) -> None:
    events = json.loads((folder / "perfetto.json").read_text())["traceEvents"]
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert [name.split(":")[0] for name in processes.values()] == ["predicted", "simulated"]
    tracks: dict[int, list[str]] = {pid: [] for pid in processes}
    names: dict[int, set[str]] = {pid: set() for pid in processes}
    for event in events:
        if event["name"] == "thread_name":
            tracks[event["pid"]].append(event["args"]["name"])
        elif event["ph"] == "X":
            names[event["pid"]].add(event["name"])
            assert event["dur"] >= 0
    assert tracks[1] == tracks[2]
    assert names[1] == names[2]


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_report_loads_nothing_and_has_every_node(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    plan, _ = read(folder)
    entry = data_of(page)["entries"][0]
    assert [n["name"] for n in entry["nodes"]] == [n["name"] for n in plan["entries"][0]["nodes"]]
    assert entry["lanes"]["simulated"] is not None
    assert entry["energy"]
    assert "prefers-color-scheme: dark" in page


def test_hostile_names_stay_text(folder: Path) -> None:
    plan, _ = read(folder)
    schedule, _ = read_timeline(folder)
    name = "</script><script>alert(1)//"
    node = plan["entries"][0]["nodes"][0]["name"]
    hostile = json.loads(json.dumps(plan).replace(node, name))
    page = html(hostile, None, schedule)
    assert "<script>alert" not in page
    assert data_of(page)["entries"][0]["nodes"][0]["name"] == name


def test_run_tells_cycles_energy_and_memories(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "kws")
    assert run(["run", str(copy), "--inputs", str(KWS / "inputs.npz"), "--repeat", "2", "--json", f"{copy}.json"]) == 0
    err, told = capsys.readouterr().err, json.loads(Path(f"{copy}.json").read_text())
    assert re.search(
        rf"^  cycles +{told['cycles']:,} per run +--timing chip, .*; predicted .*; the first run", err, re.M
    )
    assert re.search(rf"^  energy +{told['energy_uj']:.1f} uJ +an energy model, not measured$", err, re.M)
    assert [line.split()[0] for line in err.splitlines()][-3:] == ["l1", "l2", "wmem"]


def test_report_tells_what_each_memory_has_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, _ = read(folder)
    assert run(["report", str(folder), "--top", "2"]) == 0
    out = capsys.readouterr().out
    for memory, planned in (("l1", plan["capacity"]["l1"]), ("wmem", plan["memory"]["weights"])):
        assert re.search(rf"^  {memory} +{planned:,} of {plan['memories'][memory]:,} bytes  ", out, re.M)
    assert re.search(r"^  predicted  [\d,]+ cycles +per run, at nominal sizes; [\d,]+ runs/s", out, re.M)


def test_explain_tells_tile_and_reasons(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plan, _ = read(folder)
    node = next(n for n in plan["entries"][0]["nodes"] if n.get("tile"))
    assert run(["explain", str(folder), node["name"], "--json", str(tmp_path / "e.json")]) == 0
    out = capsys.readouterr().out
    found = json.loads((tmp_path / "e.json").read_text())["nodes"][0]
    assert found["tile"] == node["tile"]
    assert found["cycles_simulated"] > 0
    assert ", ".join(f"{name} {size}" for name, size in node["tile"].items()) in out
    assert all(other["why"] in out for other in node["alternatives"])


def test_a_schedule_that_does_not_match_is_left_out(folder: Path) -> None:
    schedule, simulated = read_timeline(folder)
    assert schedule is not None
    assert len(perfetto(schedule, None)["traceEvents"]) < len(perfetto(schedule, simulated)["traceEvents"])
    assert simulated is not None
    visit = {
        "function": "f", "energy": [], "transfers": [],
        "visits": [{"core": 0, "begin": 10, "end": 90, "calls": [["tw_k", 20, 30], ["tw_other", 35, 36]]}],
    }  # fmt: skip
    for kernels, fits in ((["tw_k"], True), (["tw_k", "tw_k"], False), (["tw_m"], False)):
        calls = [Event("core 0", "n", 0, 1, i, kernel) for i, kernel in enumerate(kernels)]
        made = {"cores": 1, "entries": {"run": entry_record("f", 1, calls)}}
        found = observe(made, {"visits": [visit]}, 80, "chip")["entries"]
        assert bool(found) == fits
        if fits:
            assert [(e.start, e.stop, e.name) for e in events_of(found["run"])] == [(10, 20, "n")]
            assert found["run"]["cycles"] == 80


def test_an_engine_is_seen_at_work() -> None:
    """Calls take as long as their jobs; phases with jobs that go on take until they end."""
    calls = [Event("neureka", "a", 0, 9, 0, "tw_neureka_1x1", 64, 2), Event("core 0", "b", 2, 4, 1, "tw_k"),
             Event("neureka", "c", 9, 20, 2, "tw_neureka_3x3", 32, 1)]  # fmt: skip
    made = {"cores": 1, "entries": {"run": entry_record("f", 30, calls)}}
    visit = {
        "function": "f", "energy": [], "transfers": [], "jobs": [[12, 13, 20], [14, 22, 35], [41, 43, 60]],
        "visits": [{"core": 0, "begin": 10, "end": 90, "calls": [
            ["tw_neureka_describe", 11, 15], ["tw_k", 16, 24], ["tw_neureka_wait", 40, 42],
        ]}],
    }  # fmt: skip
    fewer = observe(made, {"visits": [{**visit, "jobs": visit["jobs"][:2]}]}, 80, "chip")
    assert not fewer["entries"], "a job is missing"
    seen = observe(made, {"visits": [visit]}, 80, "chip")["entries"]["run"]
    assert [(e.start, e.stop, e.name, e.bytes) for e in events_of(seen)] == [
        (6, 14, "b", 0), (3, 25, "a", 64), (33, 50, "c", 32),
    ]  # fmt: skip
    assert [span.cycles for span in spans(seen)] == [25, 0, 55]


def test_visits_change_nothing_and_tell_calls(folder: Path) -> None:
    from tilewright.sim import SimOptions, simulate

    elf = folder / "build" / "network.elf"
    function = read_timeline(folder)[0]["entries"]["run"]["function"]  # type: ignore[index]
    plain, watched = simulate(elf), simulate(elf, SimOptions(visits=(function, "no_such_function")))
    assert plain.cycles == watched.cycles
    assert "visits" not in plain.report
    (visit,) = watched.report["visits"]
    assert visit["function"] == function
    assert len(visit["visits"]) == 8
    for one in visit["visits"]:
        starts = np.array([[start, stop] for _, start, stop in one["calls"]])
        assert (np.diff(starts.ravel()) >= 0).all(), "calls come one after the other"
