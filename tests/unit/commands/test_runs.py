"""runs, stop, resume: what is told of runs, and which of them is meant."""

from __future__ import annotations

import os

import msgspec
import pytest
from support.engine_runs import put_on_box, put_on_slurm
from support.fake_checkpoint import write_checkpoint
from support.fake_engine import use_fake_engine
from support.fake_runs import as_json, make_run

from codex_tui.base import locations
from codex_tui.cli import main
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


def test_no_runs_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert "codex-tui demo" in capsys.readouterr().out
    assert main(["attach", "--headless"]) == 2
    assert "no runs yet" in capsys.readouterr().err


def test_runs_tell_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    started = ev.Started(attempt=1, pid=1)
    resolved = ev.Resolved(total_steps=20, steps_per_epoch=10, train_rows=40, eval_rows=4)
    step = ev.Metrics(step=20, loss=0.5)
    done = make_run("demo-1", started, resolved, step, ev.Eval(step=20, eval_loss=0.75),
                    ev.PassRate(step=10, passes=1, questions=4), ev.PassRate(step=20, passes=3, questions=4),
                    ev.Done(step=20))  # fmt: skip
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
        "model": "",
        "dataset": "demo:zombie-waves",
        "step": 20,
        "total_steps": 20,
        "loss": 0.5,
        "eval_loss": 0.75,
        "best_eval_loss": 0.75,
        "best_eval_step": 20,
        "seconds": by_name["demo-1"]["seconds"],
        "disk_bytes": sum(file.lstat().st_size for file in done.path.rglob("*") if file.is_file()),
        "note": "",
        "adapter": str(done.adapter),
        "reason": "",
        "place": "",
        "engine": None,
        "queue_position": None,
        "resume_step": None,
        "pass_rate": {
            "step": 20,
            "passes": 3,
            "questions": 4,
            "trained_passes": 0,
            "trained_questions": 0,
            "book": "",
            "rate": 0.75,
        },
        "healed": [],
        "fitted": None,
        "held": None,
        "judgements": [],
    }
    assert by_name["demo-2"]["pass_rate"] is None
    assert by_name["demo-2"]["state"] == "lost"
    assert "at step 3" in by_name["demo-2"]["reason"]
    assert by_name["demo-2"]["resume_step"] == 0
    assert by_name["demo-3"]["state"] == "failed"
    assert by_name["demo-3"]["reason"] == "The card is full. Shorten max_seq_length."
    assert (by_name["demo-4"]["state"], by_name["demo-4"]["step"]) == ("training", 7)
    assert by_name["demo-4"]["adapter"] is None
    assert by_name["demo-4"]["resume_step"] is None


def test_a_healed_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    heal = ev.Healed(
        kind="gpu_memory",
        reason="GPU memory ran out in step 5, at line 8 of rows.jsonl with 512 tokens.",
        step=3,
        failed_step=5,
        changes={"model.offload_layers": (0, 6)},
        frees_mib=120.5,
        file="rows.jsonl",
        line=8,
        tokens=512,
    )
    make_run("demo-1", ev.Started(attempt=1, pid=1), heal, ev.Started(attempt=2, pid=2, resume_step=3), ev.Done(step=9))
    assert main(["runs", "--json"]) == 0
    [run] = as_json(capsys)  # type: ignore[misc]
    assert run["healed"] == [
        {
            "kind": "gpu_memory",
            "step": 3,
            "failed_step": 5,
            "reason": heal.reason,
            "frees_mib": 120.5,
            "file": "rows.jsonl",
            "line": 8,
            "tokens": 512,
            "changes": {"model.offload_layers": [0, 6]},
        }
    ]
    assert main(["runs"]) == 0
    assert "Healed 1 time: model.offload_layers 0 → 6." in capsys.readouterr().out


def test_a_run_elsewhere_says_where_it_is_and_why_it_waits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_engine(monkeypatch)
    started = ev.Started(attempt=1, pid=1)
    put_on_slurm(make_run("waits", started), "waiting", reason="no node with enough free resources")
    put_on_slurm(make_run("trains", started), "running", host="n1")
    record = put_on_box(make_run("cut", started, ev.Metrics(step=5, loss=1.0)), "unreachable", reason="timed out")
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "  waiting  " in out and "Slurm: no node with enough free resources. Slurm starts it by itself." in out
    assert "On Slurm (n1)." in next(line for line in out.splitlines() if line.startswith("trains "))
    assert "  unreachable  " in out and "No answer from box since " in out and "It may be training. The figures" in out
    assert main(["runs", "--json"]) == 0
    listed = as_json(capsys)
    assert isinstance(listed, list)
    runs = {run["name"]: run for run in listed}
    assert (runs["cut"]["state"], runs["cut"]["place"], runs["cut"]["engine"]) == (
        "unreachable", "box", msgspec.to_builtins(record),
    )  # fmt: skip
    assert (runs["waits"]["state"], runs["waits"]["held"], runs["waits"]["engine"]["job"]) == ("waiting", None, "4711")


def test_an_ended_run_says_from_which_step_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Phase(name="training"), ev.Metrics(step=25, loss=2.0))
    for step in (10, 20):
        write_checkpoint(run.checkpoints, step)
    (run.checkpoints / "checkpoint-20" / "optimizer.pt").unlink()
    assert main(["runs", "--json"]) == 0
    [told] = as_json(capsys)
    assert (told["state"], told["step"], told["resume_step"]) == ("lost", 25, 10)
    assert main(["runs"]) == 0
    said = "The trainer ended at step 25 without a message; the cause is unknown. Resume continues from step 10.\n"
    assert said in capsys.readouterr().out
    assert main(["attach", "a", "--headless"]) == 1
    assert "Resume from the last checkpoint, step 10: codex-tui resume a" in capsys.readouterr().out


def test_a_run_is_found_by_name_beginning_or_as_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("demo-1", "demo-10", "other-1")):
        run = make_run(name, ev.Started(attempt=1, pid=1), ev.Done(step=1))
        os.utime(run.profile, (1e9 + number, 1e9 + number))
    for text, found in (("demo-1", "demo-1"), ("o", "other-1"), ("last", "other-1")):
        assert main(["attach", text, "--headless"]) == 0
        assert capsys.readouterr().out.startswith(f"{found}:")
    assert main(["attach", "demo", "--headless"]) == 2
    assert "demo-1, demo-10" in capsys.readouterr().err.replace("demo-10, demo-1", "demo-1, demo-10")
    for number in range(20, 40):
        make_run(f"demo-{number}", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    assert main(["attach", "demo", "--headless"]) == 2
    assert "demo-24, demo-25 and 14 more: codex-tui runs" in capsys.readouterr().err


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


def test_the_first_stop_asks_politely(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("live", ev.Started(attempt=1, pid=1), alive=True)
    assert main(["stop", "live"]) == 0
    assert run.read_stop_request() == "save"
    assert "finishes its step, saves a checkpoint and the adapter" in capsys.readouterr().out
