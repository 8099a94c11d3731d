"""What the documents promise is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.examples import ROOT, Example, read, run
from tilewright.cli import VERBS

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
WITH_EXAMPLES = [path for path in DOCUMENTS if read(path)]
BUNDLED = ROOT / "src" / "tilewright" / "models" / "tinystories"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_examples() -> None:
    assert {"README.md", "docs/quickstart.md"} <= {name(path) for path in WITH_EXAMPLES}


@pytest.mark.skipif(not BUNDLED.exists(), reason="the bundled model is not in this checkout")
@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name)
def test_examples_print_what_the_document_says(path: Path, tmp_path: Path) -> None:
    for example in read(path):
        printed = run(example, tmp_path)
        assert example.agrees(printed), f"$ {example.command}\n{printed}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_files_and_names_that_are_mentioned_exist(path: Path) -> None:
    text = path.read_text()
    for mentioned in re.findall(r"`((?:src|tests|bench|training|docs|sim)/[\w./-]+)`", text):
        assert (ROOT / mentioned).exists() or f"title={mentioned}\n" in text, mentioned
    for verb in re.findall(r"`tilewright ([a-z]+)", text):
        assert verb in VERBS, verb


def test_comparison_of_outputs() -> None:
    example = Example("x", "RAM  1,234 bytes\n...\nend\n")
    assert example.agrees("RAM 7 bytes\nwhatever\n1\nend\n")
    assert example.agrees("RAM 7 bytes\nend\n")
    assert not example.agrees("ROM 7 bytes\nend\n")
    assert not example.agrees("RAM 7 bytes\nends\n")
    assert not Example("x", "a\n").agrees("a\nb\n")
    assert not Example("x", "").agrees("b\n")
