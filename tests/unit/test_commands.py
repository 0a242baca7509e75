"""The commands that need no trainer, as a person or a script calls them."""

import io
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.whole import write_checkpoint

from codex_tui.cli import main
from codex_tui.core import locations
from training.contract import events as ev
from training.contract.run_directory import ProcessIdentity, RunDirectory


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def make_run(name: str, *events: ev.Event, alive: bool = False) -> RunDirectory:
    run = RunDirectory(locations.runs_home() / name)
    run.create()
    run.profile.write_text("")
    run.write_config({"name": name, "profile_name": "demo", "created": time.time() - 3600})
    run.write_process(ProcessIdentity.current() if alive else ProcessIdentity(os.getpid(), 1.0))
    writer = ev.EventWriter(run.events)
    for event in events:
        writer.emit(event)
    writer.close()
    return run


def as_json(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (
        (["--help"], "Exit codes"),
        (["train", "--help"], "--dataset"),
        (["--version"], "codex-tui "),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert word in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["stop"], ["profile"], ["runs", "--no-such"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_no_runs_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert "codex-tui demo" in capsys.readouterr().out
    assert main(["attach", "--headless"]) == 2
    assert "no runs yet" in capsys.readouterr().err


def test_runs_tell_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    started = ev.Started(attempt=1, pid=1)
    resolved = ev.Resolved(total_steps=20, steps_per_epoch=10, train_rows=40, eval_rows=4)
    step = ev.Metrics(step=20, loss=0.5)
    done = make_run("demo-1", started, resolved, step, ev.Eval(step=20, eval_loss=0.75), ev.Done(step=20))
    done.adapter.mkdir()
    (done.adapter / "adapter_config.json").write_text("{}")
    make_run("demo-2", started, resolved, ev.Phase(name="training"), ev.Metrics(step=3, loss=2.0))
    failed = ev.Failed(kind="gpu_memory", message="The card is full.", hint="Shorten max_seq_length.")
    make_run("demo-3", started, failed)
    make_run("demo-4", started, resolved, ev.Metrics(step=7, loss=1.5), alive=True)
    assert main(["runs", "--json"]) == 0
    by_name = {run["name"]: run for run in as_json(capsys)}
    assert by_name["demo-1"] == {
        "name": "demo-1",
        "state": "done",
        "directory": str(done.path),
        "step": 20,
        "total_steps": 20,
        "loss": 0.5,
        "eval_loss": 0.75,
        "adapter": str(done.adapter),
        "reason": "",
        "resume_step": None,
    }
    assert by_name["demo-2"]["state"] == "lost"
    assert "at step 3" in by_name["demo-2"]["reason"]
    assert by_name["demo-2"]["resume_step"] == 0
    assert by_name["demo-3"]["state"] == "failed"
    assert by_name["demo-3"]["reason"] == "The card is full. Shorten max_seq_length."
    assert (by_name["demo-4"]["state"], by_name["demo-4"]["step"]) == ("training", 7)
    assert by_name["demo-4"]["adapter"] is None
    assert by_name["demo-4"]["resume_step"] is None


def test_an_ended_run_says_from_which_step_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Phase(name="training"), ev.Metrics(step=25, loss=2.0))
    for step in (10, 20):
        write_checkpoint(run.checkpoints, step)
    (run.checkpoints / "checkpoint-20" / "optimizer.pt").unlink()
    assert main(["runs", "--json"]) == 0
    [told] = as_json(capsys)
    assert (told["state"], told["step"], told["resume_step"]) == ("lost", 25, 10)
    assert main(["runs"]) == 0
    assert "resumable from step 10. The trainer (process" in capsys.readouterr().out
    assert main(["attach", "a", "--headless"]) == 1
    assert "Go on from the last checkpoint, step 10: codex-tui resume a" in capsys.readouterr().out


def test_a_run_is_found_by_name_beginning_or_as_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("demo-1", "demo-10", "other-1")):
        run = make_run(name, ev.Started(attempt=1, pid=1), ev.Done(step=1))
        os.utime(run.profile, (1e9 + number, 1e9 + number))
    for text, found in (("demo-1", "demo-1"), ("o", "other-1"), ("last", "other-1")):
        assert main(["attach", text, "--headless"]) == 0
        assert capsys.readouterr().out.startswith(f"{found}:")
    assert main(["attach", "demo", "--headless"]) == 2
    assert "demo-1, demo-10" in capsys.readouterr().err.replace("demo-10, demo-1", "demo-1, demo-10")


def test_a_headless_viewer_prints_a_line_a_logging_step(capsys: pytest.CaptureFixture[str]) -> None:
    events = [ev.Started(attempt=1, pid=1), ev.Resolved(total_steps=3, steps_per_epoch=3, train_rows=3, eval_rows=0)]
    events += [ev.Metrics(step=step, loss=1 / step, learning_rate=1e-3) for step in (1, 2, 3)]
    make_run("a", *events, ev.Sample(step=3, prompt="hi \x1b[2J", text="\x1b]0;owned\x07"), ev.Done(step=3, seconds=75))
    assert main(["attach", "a", "--headless"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("step ")][1].startswith(
        "step 2/3  loss 0.5000  lr 1.00e-03"
    )
    assert "done  3 steps  1:15" in out
    assert "\x1b" not in out


def test_an_unhappy_end_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Failed(kind="unknown", message="It broke.", hint="Mend it."))
    assert main(["attach", "a", "--headless"]) == 1
    assert "failed: It broke.\n  Mend it." in capsys.readouterr().out


def test_an_old_end_does_not_end_the_viewer_of_a_resumed_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Stopped(step=2), alive=True)

    def go_on() -> None:
        time.sleep(0.5)
        writer = ev.EventWriter(run.events)
        writer.emit(ev.Started(attempt=2, pid=1, resume_step=2))
        writer.emit(ev.Done(step=4))
        run.write_process(ProcessIdentity(os.getpid(), 1.0))

    trainer = threading.Thread(target=go_on)
    trainer.start()
    assert main(["attach", "a", "--headless"]) == 0
    trainer.join()
    assert "attempt 2, from step 2" in capsys.readouterr().out


def test_a_headless_viewer_tells_a_silent_trainer_from_a_lost_one(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0), alive=True)
    for path in (run.events, run.process):
        os.utime(path, (time.time() - 125, time.time() - 125))
    said: list[str] = []

    def speak() -> None:
        while "silent" not in "".join(said):
            said.append(capsys.readouterr().out)
            time.sleep(0.05)
        writer = ev.EventWriter(run.events)
        writer.emit(ev.Metrics(step=3, loss=1.0))
        writer.emit(ev.Done(step=3))
        run.write_process(ProcessIdentity(os.getpid(), 1.0))

    trainer = threading.Thread(target=speak)
    trainer.start()
    assert main(["attach", "a", "--headless"]) == 0
    trainer.join()
    assert "".join(said).splitlines()[-1] == "silent for 2 min, its process lives"
    assert "silent" not in capsys.readouterr().out  # it is told once


def test_a_headless_viewer_tells_how_far_a_long_phase_is(capsys: pytest.CaptureFixture[str]) -> None:
    tokenising = [ev.Phase(name="tokenising", done=done, total=1000, unit="rows") for done in range(0, 1001, 20)]
    loading = [ev.Phase(name="loading", detail=part, done=n, total=2, unit="parts") for n, part in enumerate("ab")]
    make_run("a", ev.Started(attempt=1, pid=1), *loading, *tokenising, ev.Done(step=1))
    assert main(["attach", "a", "--headless"]) == 0
    told = capsys.readouterr().out.splitlines()[1:-2]
    assert told[:3] == ["loading  a  0/2 parts", "loading  b  1/2 parts", "tokenising  0/1,000 rows"]
    assert told[3:] == [f"tokenising  {done:,}/1,000 rows" for done in range(100, 1001, 100)]


def test_a_viewer_says_that_the_run_was_deleted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), alive=True)
    monkeypatch.setattr(time, "sleep", lambda _: shutil.rmtree(run.path, ignore_errors=True))
    assert main(["attach", "a", "--headless"]) == 1
    assert f"{run.path} was deleted" in capsys.readouterr().err


def test_a_run_that_was_stopped_early_can_be_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("early", ev.Started(attempt=1, pid=1), ev.Stopped(step=0, resumable=False))
    assert main(["attach", "early", "--headless"]) == 1
    assert "Start it again: codex-tui resume early" in capsys.readouterr().out


def test_stop_and_resume_refuse_what_makes_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("ended", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    make_run("live", ev.Started(attempt=1, pid=1), alive=True)
    assert main(["stop", "ended"]) == 2
    assert "is not training" in capsys.readouterr().err
    assert main(["resume", "live", "--headless"]) == 2
    assert "is training already" in capsys.readouterr().err
    damaged = make_run("damaged", ev.Started(attempt=1, pid=1))
    for damage in ("", "[]", "[" * 100_000, '{"profile": 5}'):
        damaged.config.write_text(damage)
        assert main(["runs"]) == 0
        assert main(["resume", "damaged", "--headless"]) == 2
        assert f"{damaged.config} is damaged" in capsys.readouterr().err
    ended = RunDirectory(locations.runs_home() / "ended")
    ended.adapter.mkdir()
    (ended.adapter / "adapter_config.json").write_text("{}")
    assert main(["resume", "ended", "--headless"]) == 2
    assert "ended is done" in capsys.readouterr().err


def test_chat_refuses_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n")))
    for arguments, word in (
        (["--prompt", " "], "prompt is empty"),
        (["--prompt", os.fsdecode(b"\xff")], "not UTF-8"),
        (["--prompt", "-"], "not UTF-8"),
        (["--prompt", "Who?", "--max-new-tokens", "0"], "at least 1"),
        (["--prompt", "Who?"], "no adapter yet"),
        (["--base"], "--prompt TEXT"),
        ([], "--prompt TEXT"),
    ):
        assert main(["chat", "a", *arguments]) == 2, arguments
        assert word in capsys.readouterr().err


def test_an_unknown_home_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", "~nobody-of-that-name/x")
    assert main(["runs"]) == 0
    assert "No runs yet" in capsys.readouterr().out


def test_the_first_stop_asks_politely(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("live", ev.Started(attempt=1, pid=1), alive=True)
    assert main(["stop", "live"]) == 0
    assert run.stop_requested() == "save"
    assert "saves what it has trained" in capsys.readouterr().out


def test_a_file_that_can_not_be_read_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "/proc/self/mem"]) == 1
    assert capsys.readouterr().err == "codex-tui: Input/output error.\n"


def test_what_a_command_makes_is_its_owners_alone(empty_home: Path) -> None:
    assert main(["profile", "list"]) == 0
    (empty_home / "made").touch()
    assert (empty_home / "made").stat().st_mode & 0o077 == 0


def test_profile_check(empty_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = empty_home / "bad.toml"
    file.write_text('[model]\nname = "x"\nmax_seq_lenght = 1\n')
    assert main(["profile", "check", str(file), "--json"]) == 2
    told = as_json(capsys)
    assert set(told) == {"ok", "errors"}
    assert told["ok"] is False
    assert told["errors"] == [
        {"field": "model.max_seq_lenght", "line": 3, "message": "unknown field; did you mean max_seq_length?"}
    ]
    assert main(["profile", "check", "demo", "--json"]) == 0
    assert as_json(capsys)["errors"] == []
    assert main(["profile", "check", "no-such"]) == 2
    assert "rtx3050-4gb" in capsys.readouterr().err


def test_profile_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "list"]) == 0
    assert "rtx3050-4gb" in capsys.readouterr().out
    assert main(["profile", "show", "rtx3050-4gb", "--json"]) == 0
    assert as_json(capsys)["model"]["max_seq_length"] == 2048


def test_train_refuses_before_anything_is_set_up(empty_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = empty_home / "rows.jsonl"
    rows.write_text("".join('{"instruction": 1}\n' for _ in range(12)))
    nothing = empty_home / "nothing"
    nothing.mkdir()
    for arguments, word in (
        (["train", "rtx3050-4gb", "--headless"], "--dataset FILE"),
        (["train", "rtx3050-4gb", "--dataset", "none.jsonl"], "no such dataset file"),
        (["train", "demo", "--dataset", ""], "not a file"),
        (["train", "demo", "--dataset", "~nobody-of-that-name/rows.jsonl"], "no such dataset file"),
        (["train", "demo", "--dataset", "/proc/self/mem"], "/proc/self/mem can't be read: "),
        (["train", "demo", "--name", "../up", "--python", "/none"], "can't be a run's name"),
        (["data", "check", str(nothing)], "there is no data file in it"),
        (["data", "check", "~nobody-of-that-name/rows.jsonl"], "no such dataset file"),
        (["data", "check", "/proc/self/mem"], "/proc/self/mem can't be read: "),
        (["train", "rtx3050-4gb", "--dataset", str(rows)], "line 10: "),
        (["train", "no-such"], "No profile is called 'no-such'"),
    ):
        assert main(arguments) == 2
        assert word in capsys.readouterr().err
    assert not locations.data_home().exists()


def test_the_app_says_that_it_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "needs a terminal" in capsys.readouterr().err
