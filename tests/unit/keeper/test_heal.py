"""What `python -m training heal` decides, from a run directory as a trainer leaves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.config_file import read_config, write_config
from support.fake_checkpoint import write_checkpoint

from training.contract import events as ev
from training.contract.config import RunConfig
from training.contract.event_writer import EventWriter
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.keeper.heal import CHANGES_LEARNING, decide

MODEL = "unsloth/Llama-3.2-3B-Instruct-bnb-4bit"
MEMORY = {
    "task": "training",
    "requested_mib": 96.0,
    "allocated_mib": 2700.0,
    "limit_mib": 3200.0,
    "context_mib": 500.0,
    "tokens": 2048,
    "row_tokens": 2048,
    "largest_tokens": 2048,
    "longest_tokens": 2048,
    "file": "rows.jsonl",
    "line": 812,
}


def make_run(
    folder: Path, *events: ev.Event, model: str = MODEL, healed: dict[str, Any] | None = None, **tables: Any
) -> RunDirectory:
    run = RunDirectory(folder / "run")
    run.create()
    profile = Profile.model_validate({"model": {"name": model}, **tables})
    write_config(run, {"profile": profile.model_dump(mode="json"), "healed": healed or {}})
    writer = EventWriter(run.events)
    for event in (ev.Started(attempt=1, pid=1), *events):
        writer.emit(event)
    writer.close()
    return run


def fail(*, step: int = 4, **memory: Any) -> ev.Failed:
    message = "The run can't go on: GPU memory ran out (the limit is 3,200 MiB)."
    return ev.Failed(
        kind="gpu_memory", message=message, hint="h", traceback="t", step=step, memory=ev.OutOfMemory(**MEMORY | memory)
    )


def test_the_row_and_the_changes_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, fail())
    write_checkpoint(run.checkpoints, 3)
    before = run.config.read_bytes()
    event = decide(run)
    assert isinstance(event, ev.Healed)
    assert event.reason == "GPU memory ran out in step 5, at line 812 of rows.jsonl with 2,048 tokens."
    assert (event.kind, event.step, event.failed_step) == ("gpu_memory", 3, 5)
    assert (event.file, event.line, event.tokens) == ("rows.jsonl", 812, 2048)
    [(field, (old, new))] = event.changes.items()
    assert field == "model.offload_layers" and old == 0 < new
    assert event.frees_mib > 50
    assert run.config.read_bytes() == before


@pytest.mark.parametrize(
    ("memory", "place"),
    [
        ({"task": "loading", "row_tokens": 0}, "while the model was loaded."),
        ({"task": "probing"}, "in the probe, at line 812 of rows.jsonl with 2,048 tokens."),
        ({"task": "evaluating"}, "in the evaluation after step 4, at line 812"),
        ({"line": 0, "file": ""}, "in step 5, at a row with 2,048 tokens."),
    ],
)
def test_the_place_is_named(tmp_path: Path, memory: dict[str, Any], place: str) -> None:
    event = decide(make_run(tmp_path, fail(**memory)))
    assert isinstance(event, ev.Healed) and event.reason.startswith(f"GPU memory ran out {place}")


def test_a_healed_run_that_fails_again_is_healed_from_where_it_is(tmp_path: Path) -> None:
    events = (fail(), ev.Healed(kind="gpu_memory", reason="r"), ev.Started(attempt=2, pid=2), fail(offload_layers=6))
    run = make_run(tmp_path, *events, healed={"model.offload_layers": 6})
    event = decide(run)
    assert isinstance(event, ev.Healed)
    assert event.changes["model.offload_layers"][0] == 6 < event.changes["model.offload_layers"][1]


PASSES_OF_FOUR = {"pass_rows": 4, "tokens": 8192, "largest_tokens": 8192, "limit_mib": 3700.0, "allocated_mib": 3200.0}


def test_larger_passes_that_auto_has_chosen_are_undone_first(tmp_path: Path) -> None:
    event = decide(make_run(tmp_path, fail(**PASSES_OF_FOUR)))
    assert isinstance(event, ev.Healed)
    assert event.changes == {"training.packing": ("auto", "pack")}
    assert event.frees_mib > 300


def test_more_changes_where_the_passes_of_the_profile_are_too_large_as_well(tmp_path: Path) -> None:
    """What "auto" had chosen is not chosen again."""
    event = decide(make_run(tmp_path, fail(**PASSES_OF_FOUR | {"limit_mib": 2900.0})))
    assert isinstance(event, ev.Healed) and len(event.changes) > 1
    assert event.changes["training.packing"] == ("auto", "pack")


def test_passes_of_the_profile_s_own_size_stay_where_something_else_is_faster(tmp_path: Path) -> None:
    event = decide(make_run(tmp_path, fail(pass_rows=1)))
    assert isinstance(event, ev.Healed) and [*event.changes] == ["model.offload_layers"]


def test_passes_do_not_grow_into_the_memory_that_a_heal_frees(tmp_path: Path) -> None:
    for card, pinned in (("NVIDIA H200", {"training.packing": ("auto", "pack")}), ("A card of 2031", {})):
        failed = fail(pass_rows=1, limit_mib=8000.0, allocated_mib=7400.0, card=card)
        event = decide(make_run(tmp_path / card, failed, training={"gradient_checkpointing": False}))
        assert isinstance(event, ev.Healed)
        assert event.changes == {"training.gradient_checkpointing": (False, "unsloth"), **pinned}


def test_after_the_last_heal_the_remedies_that_change_learning_are_named(tmp_path: Path) -> None:
    healed = ev.Healed(kind="gpu_memory", reason="r")
    hang = ev.Healed(kind="hang", reason="r")  # which is counted elsewhere
    event = decide(make_run(tmp_path, healed, hang, healed, fail(), keeper={"max_heals": 2}))
    assert isinstance(event, ev.Failed)
    assert event.message == fail().message
    assert event.hint.startswith("The run was healed 2 times already (keeper.max_heals). Set one of: ")
    assert "model.max_seq_length = " in event.hint and "offload" not in event.hint


def test_what_no_change_heals_fails_with_the_remedies_that_change_learning(tmp_path: Path) -> None:
    event = decide(make_run(tmp_path, fail(limit_mib=1500.0)))
    assert isinstance(event, ev.Failed)
    assert event.hint.startswith(f"{CHANGES_LEARNING} Set one of: ")


@pytest.mark.parametrize(
    "event", [ev.Failed(kind="gpu_memory", message="m"), ev.Failed(kind="nan_loss", message="m"), ev.Done(step=9)]
)
def test_where_nothing_is_known_the_event_of_the_trainer_stays(tmp_path: Path, event: ev.Event) -> None:
    assert decide(make_run(tmp_path, event)) is None


def test_a_model_whose_shape_is_not_known_is_not_healed(tmp_path: Path) -> None:
    assert decide(make_run(tmp_path, fail(), model=str(tmp_path / "nowhere"))) is None


def test_the_failure_of_an_earlier_attempt_is_over(tmp_path: Path) -> None:
    assert decide(make_run(tmp_path, fail(), ev.Started(attempt=2, pid=2))) is None


def test_the_command_prints_the_event_without_torch_and_changes_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, fail())
    files = {path: path.read_bytes() for path in run.path.iterdir()}
    code = "import sys; from training.__main__ import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, "heal", str(run.path)], capture_output=True, text=True, check=True
    )
    event = msgspec.json.decode(done.stdout, type=ev.AnyEvent)
    assert isinstance(event, ev.Healed) and event.changes
    assert not {*done.stderr.split()} & {"torch", "transformers", "textual"}
    assert files == {path: path.read_bytes() for path in run.path.iterdir()}


def test_a_missing_config_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training", "heal", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"{tmp_path}/config.json is missing.\n"


def test_the_healed_values_are_applied_and_the_profile_stays(tmp_path: Path) -> None:
    healed = {"model.offload_layers": 9, "training.loss_tile_mib": 16}
    run = make_run(tmp_path, healed=healed)
    config, profile = RunConfig.read_with_profile(run.config)
    assert profile.model.offload_layers == 9 and profile.training.loss_tile_mib == 16
    assert config.profile["model"]["offload_layers"] == 0
    config.write(run.config)
    assert read_config(run)["healed"] == healed
