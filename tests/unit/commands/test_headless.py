"""attach --headless: a run as lines of text, to its end."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from support.engine_runs import put_on_slurm
from support.fake_engine import use_fake_engine
from support.fake_runs import append_events, make_run

from codex_tui.base import locations
from codex_tui.cli import main
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity

pytestmark = pytest.mark.usefixtures("empty_home")


def test_a_headless_viewer_prints_a_line_a_logging_step(capsys: pytest.CaptureFixture[str]) -> None:
    events = [ev.Started(attempt=1, pid=1), ev.Resolved(total_steps=3, steps_per_epoch=3, train_rows=3, eval_rows=0)]
    events += [ev.Metrics(step=step, loss=1 / step, learning_rate=1e-3) for step in (1, 2, 3)]
    make_run("a", *events, ev.Sample(step=3, prompt="hi \x1b[2J", text="\x1b]0;owned\x07"), ev.Done(step=3))
    assert main(["attach", "a", "--headless"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("step ")][1].startswith(
        "step 2/3  loss 0.5000  lr 1.00e-03"
    )
    assert "done  3 steps  0:00" in out
    assert "\x1b" not in out


def test_the_time_left_is_said_before_the_first_step(capsys: pytest.CaptureFixture[str]) -> None:
    make_run(
        "a",
        ev.Started(attempt=1, pid=1),
        ev.Resolved(total_steps=60, steps_per_epoch=60, train_rows=60, eval_rows=0),
        ev.Phase(name="probing"),
        ev.Probe(tokens=100, rows=1, step_seconds=2.0),
        ev.Phase(name="training"),
        ev.Failed(kind="unknown", message="It broke."),
    )
    assert main(["attach", "a", "--headless"]) == 1
    assert "\ntraining  ETA 2:00\n" in capsys.readouterr().out


def test_the_last_line_counts_the_time_of_all_attempts(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a")
    first = (ev.Started(attempt=1, pid=1), ev.Metrics(step=150, loss=1.0), ev.Stopped(step=151))
    second = (ev.Started(attempt=2, pid=2, resume_step=151), ev.Done(step=400, seconds=72))
    times = (0, 297, 300, 90_000, 90_075)
    with run.events.open("wb") as file:
        for seq, (event, time_of_event) in enumerate(zip((*first, *second), times, strict=True)):
            event.seq, event.time = seq, 1e9 + time_of_event
            file.write(msgspec.json.encode(event) + b"\n")
    assert main(["attach", "a", "--headless"]) == 0
    assert "done  400 steps  6:15\n" in capsys.readouterr().out


def test_a_good_end_says_what_was_reached_and_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Eval(step=1, eval_loss=0.5), ev.Eval(step=2, eval_loss=0.25),
                   ev.Sample(step=0, prompt="Hi", text="Hi hi", cut_at=2),
                   ev.PassRate(step=2, passes=26, questions=40, trained_passes=24, trained_questions=24),
                   ev.Done(step=2))  # fmt: skip
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    assert main(["attach", "a", "--headless"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "sample  base model  Hi → Hi hi (cut at 2 tokens)" in lines
    assert "passes  step 2  26 of 40 (trained 24 of 24, unseen 2 of 16)" in lines
    assert lines[-3:] == [
        "Eval loss 0.5000 → 0.2500, the best. Passes 26 of 40 questions.",
        f"Adapter: {run.adapter}",
        "Chat with it: codex-tui chat a",
    ]


def test_a_run_with_a_deadline_says_what_fits_and_why_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    resolved = ev.Resolved(total_steps=400, steps_per_epoch=400, train_rows=400, eval_rows=0)
    fitted = ev.Fitted(total_steps=90, planned_steps=400, deadline=time.time() + 60)
    near = ev.Fitted(total_steps=91, planned_steps=400, deadline=fitted.deadline)  # too near for a line of its own
    metrics = ev.Metrics(step=90, loss=1.0)
    reason = "The deadline, 2026-11-29 07:00, ended it after 90 of 400 planned steps."
    make_run("a", ev.Started(attempt=1, pid=1), resolved, fitted, near, metrics, ev.Done(step=90, reason=reason))
    assert main(["attach", "a", "--headless"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("fitted  90 of 400 steps fit until ")).endswith(" (22 %)")
    assert sum(line.startswith("fitted ") for line in lines) == 1
    assert any(line.startswith("step 90/91  loss 1.0000") for line in lines)
    assert lines[lines.index("done  90 steps  0:00") + 1] == reason


def test_a_heal_has_a_line_with_the_row_and_the_change(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "GPU memory ran out in step 5, at line 8 of \x1b]0;rows.jsonl with 512 tokens."
    changes = {"model.offload_layers": (0, 6)}
    heal = ev.Healed(kind="gpu_memory", reason=reason, step=3, failed_step=5, changes=changes, frees_mib=120.4)
    make_run("a", ev.Started(attempt=1, pid=1), heal, ev.Started(attempt=2, pid=2, resume_step=3), ev.Done(step=9))
    assert main(["attach", "a", "--headless"]) == 0
    out = capsys.readouterr().out
    [line] = [line for line in out.splitlines() if line.startswith("healed  step 5  GPU memory ran out in step 5, at")]
    assert line.endswith("The run continues from step 3 with model.offload_layers 0 → 6, which frees 120 MiB.")
    assert "\x1b" not in out


def test_the_notify_command_runs_at_the_end_of_a_run_and_not_for_an_old_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    written = tmp_path / "written"
    settings = locations.settings_file()
    settings.parent.mkdir(parents=True)
    script = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + ' '); sys.exit('no server')"
    command = [sys.executable, "-c", script, str(written), "{title}"]
    settings.write_text(f"[notify]\ncommand = {json.dumps(command)}\n")
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Metrics(step=1, loss=1.0), alive=True)

    def go_on() -> None:
        while not written.exists() and "step 1" not in "".join(printed):
            printed.append(capsys.readouterr().out)
            time.sleep(0.05)
        append_events(run, ev.Failed(kind="unknown", message="It broke."))
        run.write_process(ProcessIdentity(os.getpid(), 1.0))

    printed: list[str] = []
    trainer = threading.Thread(target=go_on)
    trainer.start()
    assert main(["attach", "a", "--headless"]) == 1
    trainer.join()
    assert written.read_text() == "a failed "
    assert "exit code 1: no server" in capsys.readouterr().err
    for path in (run.events, run.process):
        os.utime(path, (time.time() - 9e6,) * 2)
    assert main(["attach", "a", "--headless"]) == 1
    assert written.read_text() == "a failed "


def test_a_change_without_its_reason_is_a_damaged_line(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Failed(kind="unknown", message="It broke."))
    first, last = run.events.read_text().splitlines()
    resolved = (
        '{"type":"resolved","total_steps":3,"steps_per_epoch":3,"train_rows":3,"eval_rows":0,"changed":{"x":[1,2]}}'
    )
    run.events.write_text("\n".join([first, resolved, last, ""]))
    assert main(["attach", "a", "--headless"]) == 1
    assert "failed: It broke." in capsys.readouterr().out


def test_settings_that_run_with_another_value_are_named_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    changed = {
        "training.per_device_train_batch_size": (1, 4, "larger passes are faster and fit"),
        "hardware.vram_limit_mib": (3800, None, "there is no GPU"),
        "lora.r": (8, 16, ""),
    }
    resolved = ev.Resolved(total_steps=3, steps_per_epoch=3, train_rows=3, eval_rows=0, changed=changed)
    make_run("a", ev.Started(attempt=1, pid=1), resolved, ev.Done(step=3))
    assert main(["attach", "a", "--headless"]) == 0
    out = capsys.readouterr().out
    assert "  training.per_device_train_batch_size: 1 → 4 (larger passes are faster and fit)\n" in out
    assert "  hardware.vram_limit_mib: 3800 → unset (there is no GPU)\n  lora.r: 8 → 16\n" in out


def test_an_unhappy_end_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Failed(kind="unknown", message="It broke.", hint="Mend it."))
    assert main(["attach", "a", "--headless"]) == 1
    assert "failed: It broke.\n  Mend it." in capsys.readouterr().out


def test_an_old_end_does_not_end_the_viewer_of_a_resumed_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Stopped(step=2), alive=True)

    def go_on() -> None:
        time.sleep(0.5)
        writer = EventWriter(run.events)
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
        writer = EventWriter(run.events)
        writer.emit(ev.Metrics(step=3, loss=1.0))
        writer.emit(ev.Done(step=3))
        run.write_process(ProcessIdentity(os.getpid(), 1.0))

    trainer = threading.Thread(target=speak)
    trainer.start()
    assert main(["attach", "a", "--headless"]) == 0
    trainer.join()
    assert "".join(said).splitlines()[-1] == "silent for 2 min, process is alive"
    assert "silent" not in capsys.readouterr().out  # it is told once


def test_a_headless_viewer_says_why_a_run_waits_or_is_unreachable_and_that_it_is_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_engine(monkeypatch)
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0))
    put_on_slurm(run, "waiting", reason="no node with enough free resources")
    said: list[str] = []

    def wait_for(text: str) -> None:
        while text not in "".join(said):
            said.append(capsys.readouterr().out)
            time.sleep(0.05)

    def go_on() -> None:
        wait_for("waiting  Slurm: no node with enough free resources. Slurm starts it by itself.\n")
        put_on_slurm(run, "running", host="n1")
        wait_for("\nrunning  Slurm (n1)\n")
        put_on_slurm(run, "unreachable", host="n1", reason="Unable to contact slurm controller")
        wait_for("\nunreachable  No answer from Slurm since ")
        append_events(run, ev.Metrics(step=3, loss=1.0), ev.Done(step=3))
        put_on_slurm(run, "gone", host="n1")

    engine = threading.Thread(target=go_on)
    engine.start()
    assert main(["attach", "a", "--headless"]) == 0
    engine.join()
    assert "".join(said).count("waiting  ") == 1


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


def test_a_resume_whose_trainer_dies_before_its_first_event_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Stopped(step=2))
    os.utime(run.events, (time.time() - 60, time.time() - 60))
    run.log.write_text("ModuleNotFoundError: No module named 'msgspec'\n")
    run.write_process(ProcessIdentity(os.getpid(), 1.0, attempt=2))
    assert main(["attach", "a", "--headless"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-3].startswith("lost: ") and out[-2:] == [
        "  ModuleNotFoundError: No module named 'msgspec'",
        "Start it again: codex-tui resume a",
    ]
