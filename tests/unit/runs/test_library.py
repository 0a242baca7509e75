"""Tests how runs are found by name, and what counts as a run."""

from __future__ import annotations

import pytest
from support.fake_runs import make_run

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.runs import library
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


def make_ended(name: str) -> RunDirectory:
    return make_run(name, ev.Started(attempt=1, pid=1), ev.Done(step=1))


def test_a_folder_without_a_file_of_a_run_is_no_run() -> None:
    make_ended("a")
    home = locations.runs_home()
    (home / "empty").mkdir()
    (home / "folder" / "config.json").mkdir(parents=True)
    (home / "file").write_text("")
    assert library.list_names() == ["a"]
    for name in ("empty", "folder", "file"):
        with pytest.raises(BadInput, match="No run is called"):
            library.find_run(name)


@pytest.mark.parametrize("text", ["", ".", "..", "../a", "/", "a/", "./a"])
def test_a_run_is_named_and_not_a_path(text: str) -> None:
    make_ended("a")
    make_ended("b")
    with pytest.raises(BadInput):
        library.find_run(text)


def test_a_run_is_found_without_a_look_at_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        make_ended(f"run-{number}")
    monkeypatch.setattr(library, "list_names", lambda: pytest.fail("all runs were looked at"))
    assert library.find_run("run-3").name == "run-3"


def test_without_runs_every_name_says_how_to_start_one() -> None:
    for text in ("last", "a"):
        with pytest.raises(BadInput, match="no runs yet"):
            library.find_run(text)


def test_an_exact_name_is_no_beginning_and_no_last(capsys: pytest.CaptureFixture[str]) -> None:
    make_ended("small-10")
    assert library.find_run("small-1").name == library.find_run("last").name == "small-10"
    for text in ("small-1", "last"):
        with pytest.raises(BadInput, match="No run is called"):
            library.find_run(text, exact=True)
        for command in ("stop", "park", "resume"):
            assert main([command, "--exact", text]) == 2
            assert f"No run is called '{text}'" in capsys.readouterr().err
    assert library.find_run("small-10", exact=True).name == "small-10"
