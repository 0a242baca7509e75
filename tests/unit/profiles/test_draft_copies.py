"""A profile that goes elsewhere, as a copy or under another name, still means the same files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.fake_interpreter import idle_interpreter

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.launch_plan import make_plan
from codex_tui.profiles.draft import Draft, duplicate
from codex_tui.profiles.resolve import load_profile, resolve
from training.dataset.source import DEMO_DATASET

WRITTEN = """\
extends = './base.toml'   # beside it

[model]
  name = "./models/small" # mine
[dataset]
path = 'rows.jsonl'
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile that is none of the person's own."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "base.toml").write_text("[lora]\nr = 8\n")
    (folder / "mine.toml").write_text(WRITTEN)
    return folder / "mine.toml"


def test_relative_paths_are_made_absolute_and_all_else_stays(outside: Path) -> None:
    folder = outside.parent
    moved = (
        WRITTEN.replace("'./base.toml'", f'"{folder}/base.toml"')
        .replace("./models/small", f"{folder}/models/small")
        .replace("'rows.jsonl'", f'"{folder}/rows.jsonl"')
    )
    draft = Draft.open(outside)
    draft.save_as("other")
    assert draft.text == draft.path.read_text() == moved
    assert not draft.dirty and draft.resolved.values["lora.r"] == 8
    copy = duplicate(outside, "copy")
    assert copy.read_text() == moved
    assert load_profile(copy).model == load_profile(draft.path).model
    assert outside.read_text() == WRITTEN


def test_within_one_folder_nothing_is_rewritten(outside: Path) -> None:
    text = WRITTEN.replace("rows.jsonl", "~/rows.jsonl")
    first = locations.user_profiles() / "first.toml"
    first.parent.mkdir(parents=True)
    first.write_text(text)
    assert duplicate(first, "second").read_text() == text
    outside.write_text('[model]\nname = "a/b"\n[dataset]\npath = "~/rows.jsonl"\n')
    assert duplicate(outside, "third").read_text() == outside.read_text()


def test_a_broken_profile_is_copied_too(outside: Path) -> None:
    for name, text, copied in (
        ("number", "[model]\nname = 3\n", "[model]\nname = 3\n"),
        ("torn", '[model\nname = "./x"\n', '[model\nname = "./x"\n'),
        ("list", "[[lora]]\nr = 1\n[dataset]\npath = 'a'\n",
         f'[[lora]]\nr = 1\n[dataset]\npath = "{outside.parent}/a"\n'),
    ):  # fmt: skip
        outside.write_text(text)
        assert duplicate(outside, name).read_text() == copied


def test_what_is_no_text_is_not_written(outside: Path) -> None:
    draft = Draft.open(outside)
    draft.set("title", '"\udcff"')
    with pytest.raises(BadInput, match="can't be written: it has a character that UTF-8 does not have"):
        draft.save()
    assert outside.read_text() == WRITTEN


def test_a_model_in_a_folder_whose_name_is_no_text_is_refused(outside: Path, tmp_path: Path) -> None:
    folder = outside.parent.rename(tmp_path / os.fsdecode(b"\xff"))
    parent, child = folder / "base.toml", folder / "mine.toml"
    parent.write_text('# mine\n[model]\nname = "./x"\n')
    child.write_text('extends = "./base.toml"\n')
    [problem] = resolve(child.read_text(), child).problems
    assert (problem.field, problem.line, problem.path) == ("model.name", 3, parent)
    assert problem.message == "should be text in UTF-8"
    with pytest.raises(BadInput, match="is not UTF-8"):
        launcher.launch(make_plan(parent, dataset=DEMO_DATASET), idle_interpreter(tmp_path))
    assert not locations.runs_home().exists()
