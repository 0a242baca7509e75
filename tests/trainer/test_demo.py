"""The demo: it learns, says so in its events, and leaves an adapter that plain peft loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.config_file import read_config
from support.training_runs import Trainer, demo_profile, events

from codex_tui.base import locations
from codex_tui.machine import forecast
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.rows import read
from training.dataset.source import local
from training.dataset.split import choose_eval_rows


def test_adapter_answers_what_the_base_can_not(demo: RunDirectory, trainer: Trainer) -> None:
    """In plain transformers and peft, on the base in full precision."""
    profile = demo_profile()
    rows = read(local("demo:zombie-waves")).rows
    kept = choose_eval_rows(len(rows), profile)
    asked = [row for position, row in enumerate(rows) if position not in kept][:50]
    wanted = [row.messages[-1]["content"] for row in asked]
    base = json.loads((demo.adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    questions = json.dumps([row.messages[0]["content"] for row in asked])
    tuned, untuned = trainer.run_program("adapters", "ask", base, str(demo.adapter), questions)
    assert sum(a == b for a, b in zip(tuned, wanted, strict=True)) >= 45
    assert not any(a == b for a, b in zip(untuned, wanted, strict=True))


def test_events_tell_the_whole_story(demo: RunDirectory) -> None:
    told = events(demo)
    assert [event["seq"] for event in told] == list(range(len(told)))
    assert [event["time"] for event in told] == sorted(event["time"] for event in told)
    assert told[0]["type"] == "started"
    assert told[0]["attempt"] == 1
    assert told[-1]["type"] == "done"
    phases = [event["name"] for event in told if event["type"] == "phase"]
    firsts = sorted(set(phases), key=phases.index)
    assert firsts == ["loading", "tokenising", "probing", "sampling", "training", "evaluating", "saving"]
    loading = [event for event in told if event["type"] == "phase" and event["name"] == "loading"]
    assert [(event["detail"], event["done"], event["total"]) for event in loading] == [
        ("Unsloth", 0, 3),
        ("demo:llama", 1, 3),
        ("the adapter", 2, 3),
    ]
    tokenising = [event for event in told if event["type"] == "phase" and event["name"] == "tokenising"]
    assert tokenising[-1]["done"] == tokenising[-1]["total"]

    [resolved] = events(demo, "resolved")
    metrics = events(demo, "metrics")
    assert [event["step"] for event in metrics] == list(range(1, resolved["total_steps"] + 1))
    assert metrics[-1]["step"] == told[-1]["step"]
    assert [event["tokens"] for event in metrics] == sorted(event["tokens"] for event in metrics)
    assert all(event["tokens_per_second"] > 0 for event in metrics)
    assert metrics[0]["loss"] > 4 > 1 > metrics[-1]["loss"]
    assert any(event["host_mib"] > 100 for event in events(demo, "memory"))


def test_the_longest_row_was_probed_before_the_first_step(demo: RunDirectory) -> None:
    [probe] = events(demo, "probe")
    assert probe["rows"] == read_config(demo)["profile"]["training"]["per_device_train_batch_size"]
    assert 50 < probe["tokens"] <= 128
    assert probe["peak_reserved_mib"] is None  # there is no card
    assert probe["seq"] < events(demo, "metrics")[0]["seq"]


def test_evaluations_bring_samples(demo: RunDirectory) -> None:
    evals, [before, *samples] = events(demo, "eval"), events(demo, "sample")
    assert len(evals) >= 6
    assert [event["step"] for event in evals] == [event["step"] for event in samples]
    assert before["step"] == 0
    assert before["seq"] < events(demo, "metrics")[0]["seq"]
    assert before["text"] != before["reference"]
    assert before["cut_at"] == read_config(demo)["profile"]["evaluation"]["sample_max_new_tokens"]
    assert samples[-1]["cut_at"] is None
    assert all(event["eval_loss"] > 0 for event in evals)
    assert {event["prompt"] for event in samples} == {samples[0]["prompt"]}
    assert samples[0]["text"] != samples[0]["reference"]
    assert samples[-1]["text"] == samples[-1]["reference"]


def test_the_adapter_has_a_card_with_facts(demo: RunDirectory) -> None:
    card = (demo.adapter / "README.md").read_text()
    evals, [resolved] = events(demo, "eval"), events(demo, "resolved")
    best = min(evals, key=lambda event: event["eval_loss"])
    for fact in (
        f"# {demo.name}",
        "A LoRA adapter for `demo:llama`, trained with Codex TUI.",
        "| state | done |",
        f"| steps | {resolved['total_steps']:,} of {resolved['total_steps']:,} |",
        f"| last training loss | {events(demo, 'metrics')[-1]['loss']:.4f} (step {resolved['total_steps']:,}) |",
        f"| best evaluation loss | {best['eval_loss']:.4f} (step {best['step']:,}) |",
        "| name | demo:zombie-waves |",
        f"| torch | {read_config(demo)['stack']['torch']} |",
    ):
        assert fact in card
    assert "[More Information Needed]" not in card
    assert not list(demo.checkpoints.rglob("README.md"))


def test_checkpoints_are_limited_and_whole(demo: RunDirectory) -> None:
    limit = read_config(demo)["profile"]["checkpoints"]["save_total_limit"]
    told = events(demo, "checkpoint")
    assert len(told) > limit
    kept = sorted(path.name for path in demo.checkpoints.glob("checkpoint-*"))
    assert kept == sorted(event["path"].removeprefix("checkpoints/") for event in told[-limit:])


def test_config_records_what_ran(demo: RunDirectory) -> None:
    config = read_config(demo)
    assert config["stack"]["unsloth"]
    assert config["actual"]["model"]["load_in_4bit"] is True
    assert config["actual"]["training"]["optim"] == "adamw_torch_fused"
    [resolved] = events(demo, "resolved")
    assert (resolved["truncated_rows"], resolved["longest_row"] > 0) == (0, True)
    assert resolved["changed"]["training.optim"][:2] == ["adamw_8bit", "adamw_torch_fused"]
    fingerprint = config["dataset_fingerprint"]
    assert fingerprint["rows"] == fingerprint["train_rows"] + fingerprint["eval_rows"] >= 200
    assert len(fingerprint["sha256"]) == 64


def test_nothing_is_left_beside_the_run(demo: RunDirectory) -> None:
    assert {path.name for path in demo.path.parent.iterdir()} == {".queue", "cache", demo.name}
    assert {path.name for path in demo.path.iterdir()} == {
        "adapter", "checkpoints", "config.json", "events.jsonl", "exit.json", "keeper.lock", "lock", "process.json",
        "trainer.log",
    }  # fmt: skip
    for path in [demo.path, *demo.path.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_it_takes_the_disk_that_was_forecast(demo: RunDirectory) -> None:
    profile = Profile.model_validate(read_config(demo)["profile"])
    need = forecast.forecast_resources(profile, locations.shipped_profiles() / "demo.toml").disk
    assert need is not None
    kept = sorted(demo.checkpoints.glob("checkpoint-*"))
    assert len(kept) == need.checkpoints - 1
    assert _mib(kept[-1]) == pytest.approx(need.checkpoint_mib, rel=0.1)
    assert _mib(demo.adapter) == pytest.approx(need.adapter_mib, rel=0.1)
    assert _mib(demo.path) + _mib(kept[-1]) == pytest.approx(need.total_mib, rel=0.1)  # one more while it is written


def _mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
