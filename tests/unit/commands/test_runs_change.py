"""runs rm, rename, note and clean: what they ask, do, refuse and print. The list fits the terminal."""

from __future__ import annotations

import io
import json

import pytest
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import as_json, make_run

from codex_tui.cli import main
from codex_tui.runs import library
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")

STARTED, DONE = ev.Started(attempt=1, pid=1), ev.Done(step=30)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> Terminal:
    """Give the command a terminal on which a person types `text`. Returns what it asks there."""
    asked = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(text))
    monkeypatch.setattr("sys.stderr", asked)
    return asked


def make_done(name: str) -> RunDirectory:
    run = make_run(name, STARTED, DONE)
    for step in (20, 30):
        write_checkpoint(run.checkpoints, step)
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    weights = (run.checkpoints / "checkpoint-30" / "adapter_model.safetensors").read_bytes()
    (run.adapter / "adapter_model.safetensors").write_bytes(weights)
    return run


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, ["b"]), ("n\n", 1, ["a", "b"]), ("", 1, ["a", "b"])])
def test_rm_asks_first_and_says_what_it_frees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, code: int, left: list[str]
) -> None:
    for name in "ab":
        make_done(name)
    asked = answer(monkeypatch, typed)
    assert main(["runs", "rm", "a"]) == code
    assert sorted(library.list_names()) == left
    assert "Delete 1 run and free " in asked.getvalue()
    assert " kB? [y/N] " in asked.getvalue()
    if code:
        assert "Nothing was deleted." in asked.getvalue()
    else:
        assert "Deleted a: " in capsys.readouterr().out


def test_rm_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for name in ("a", "b", "c"):
        run = make_done(name)
        sizes[name] = sum(file.lstat().st_size for file in run.path.rglob("*") if file.is_file())
    assert main(["runs", "rm", "a"]) == 2
    assert "Add --yes" in capsys.readouterr().err
    assert main(["runs", "rm", "a", "--json"]) == 2
    capsys.readouterr()
    assert main(["runs", "rm", "a", "b", "a", "--yes", "--json"]) == 0
    assert as_json(capsys) == {"deleted": ["a", "b"], "freed_bytes": sizes["a"] + sizes["b"]}
    assert library.list_names() == ["c"]


def test_rm_and_rename_want_the_whole_name(capsys: pytest.CaptureFixture[str]) -> None:
    make_done("demo-1")
    for arguments in (["rm", "demo", "--yes"], ["rm", "last", "--yes"], ["rename", "demo", "x"], ["clean", "demo"]):
        assert main(["runs", *arguments]) == 2
        assert "No run is called" in capsys.readouterr().err
    assert library.list_names() == ["demo-1"]


def test_a_live_run_is_refused_before_anything_is_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    make_done("done")
    make_run("live", STARTED, alive=True)
    for arguments in (["rm", "done", "live", "--yes"], ["rename", "live", "x"], ["clean", "live", "--yes"]):
        assert main(["runs", *arguments]) == 2
        assert "codex-tui: live is training. Stop it first: codex-tui stop live" in " ".join(
            capsys.readouterr().err.split()
        )
    assert sorted(library.list_names()) == ["done", "live"]


def test_rename_and_note(capsys: pytest.CaptureFixture[str]) -> None:
    make_done("old")
    assert main(["runs", "rename", "old", "new"]) == 0
    assert capsys.readouterr().out == "old is now called new.\n"
    assert main(["runs", "note", "new", "best so far"]) == 0
    assert main(["runs", "note", "new"]) == 0
    assert capsys.readouterr().out == "new now has the note: best so far\nbest so far\n"
    assert main(["runs", "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["note"]) == ("new", "best so far")
    assert main(["runs"]) == 0
    assert "best so far" in capsys.readouterr().out
    assert main(["runs", "note", "new", ""]) == 0
    assert main(["runs", "note", "new"]) == 0
    assert capsys.readouterr().out == "new has no note now.\nnew has no note.\n"


def test_rename_and_note_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    make_done("old")
    assert main(["runs", "rename", "old", "new", "--json"]) == 0
    assert as_json(capsys) == {"name": "new", "old_name": "old"}
    for arguments, note in (([], ""), (["best  so far"], "best so far"), ([], "best so far"), ([""], ""), ([], "")):
        assert main(["runs", "note", "new", *arguments, "--json"]) == 0
        assert as_json(capsys) == {"name": "new", "note": note}


def test_json_counts_before_the_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    make_done("a")
    assert main(["runs", "--json", "note", "a"]) == 0
    assert as_json(capsys) == {"name": "a", "note": ""}
    assert main(["runs", "--json", "rm", "a", "--yes"]) == 0
    assert as_json(capsys)["deleted"] == ["a"]


def test_clean_deletes_what_no_one_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    done = make_done("done")
    stopped = make_run("stopped", STARTED, ev.Stopped(step=30))
    write_checkpoint(stopped.checkpoints, 30)
    asked = answer(monkeypatch, "n\n")
    assert main(["runs", "clean"]) == 1
    assert "2 checkpoints: checkpoint-20, checkpoint-30" in asked.getvalue()
    assert "stopped" not in asked.getvalue()
    capsys.readouterr()
    assert main(["runs", "clean", "--yes", "--json"]) == 0
    cleaned = json.loads(capsys.readouterr().out)
    assert cleaned["deleted"] == {"done": ["checkpoint-20", "checkpoint-30"]}
    assert cleaned["freed_bytes"] > 0
    assert list(done.checkpoints.iterdir()) == []
    assert (stopped.checkpoints / "checkpoint-30").is_dir()
    assert main(["runs", "clean"]) == 0
    assert "No checkpoint can go" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    from rich.cells import cell_len

    failed = ev.Failed(kind="gpu_memory", message="The card is full. " * 9, hint="Shorten max_seq_length.")
    resolved = ev.Resolved(total_steps=123_456, steps_per_epoch=10, train_rows=40, eval_rows=4)
    make_run("a-very-long-name-of-a-run-that-somebody-gave-it-once", STARTED, resolved, failed)
    make_run("走る" * 20, STARTED, resolved, ev.Metrics(step=99_999, loss=123.4), ev.Eval(step=9, eval_loss=12.5))
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["runs"]) == 0
    lines = terminal.getvalue().split("\n")
    assert max(map(cell_len, lines)) <= columns
    assert "Shorten max_seq_length." in " ".join(terminal.getvalue().split())
    assert "STATE" in lines[0]
