"""A plan finds out everything that a launch needs, each thing once, and refuses before any slow work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config
from support.fake_interpreter import idle_interpreter, refusing_interpreter
from support.launch_work import ONCE_EACH, count_launch_work, write_profile

from codex_tui import launcher
from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.commands import train
from codex_tui.launch_plan import make_plan
from codex_tui.machine import facts
from codex_tui.runs import changes
from training.contract.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path)


def test_the_train_command_does_everything_once(
    tmp_path: Path, profile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched: list[RunDirectory] = []
    monkeypatch.setattr(train, "_watch", lambda run, args: watched.append(run) or 0)
    monkeypatch.setattr(facts, "disk_free_gib", lambda: 0.0)
    counts = count_launch_work(profile, monkeypatch)
    assert main(["train", str(profile), "--python", str(idle_interpreter(tmp_path))]) == 0
    assert counts == ONCE_EACH
    memory, disk, *_ = capsys.readouterr().err.splitlines()
    assert memory.startswith("counted is forecast to take") and "GB of the card" in memory
    assert disk.startswith("counted is forecast to take") and "GB of disk" in disk
    [run] = watched
    assert read_config(run)["profile"]["model"]["name"] == str(tmp_path / "model")


def test_the_forecast_command_asks_once(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_launch_work(profile, monkeypatch)
    assert main(["forecast", str(profile)]) == 1  # it does not fit
    assert counts == {"driver": 1, "profile": 1, "shape": 1}


def test_a_forecast_that_is_there_already_is_used_for_the_same_profile_alone(
    profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = make_plan(profile).resources
    counts = count_launch_work(profile, monkeypatch)
    assert make_plan(profile, resources=known).resources is known
    assert counts["driver"] == 0
    profile.write_text(profile.read_text() + "[lora]\nr = 4\n")  # edited meanwhile
    plan = make_plan(profile, resources=known)
    assert counts["driver"] == 1
    assert plan.resources.profile.lora.r == plan.profile.lora.r == 4


def test_the_run_keeps_the_profile_that_was_planned(tmp_path: Path, profile: Path) -> None:
    before = profile.read_bytes()
    plan = make_plan(profile)
    profile.write_text(profile.read_text() + "[lora]\nr = 4\n")  # edited while the environment is built
    run = launcher.launch(plan, idle_interpreter(tmp_path))
    assert run.profile.read_bytes() == before
    assert read_config(run)["profile"]["lora"]["r"] == 16


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"name": "../mine"}, "can't be a run's name"),
        ({"overrides": {"lora.r": 0}}, "lora.r"),
        ({"dataset": "/nowhere.jsonl"}, "no such dataset file"),
    ],
)
def test_what_is_wrong_is_said_before_the_forecast(
    profile: Path, monkeypatch: pytest.MonkeyPatch, choices: dict[str, Any], says: str
) -> None:
    counts = count_launch_work(profile, monkeypatch)
    with pytest.raises(BadInput, match=says):
        make_plan(profile, **choices)
    assert not {"driver", "shape", "rows"} & set(counts)


@pytest.mark.parametrize("field", ["lora.target_modules", "lora.modules_to_save"])
def test_modules_that_the_model_does_not_have_are_refused(
    profile: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    counts = count_launch_work(profile, monkeypatch)
    with pytest.raises(BadInput, match=f"{field} has nosuch, which the model doesn't have") as refused:
        make_plan(profile, overrides={field: ["nosuch"]})
    assert refused.value.hint.startswith("The model has q_proj" if "target" in field else "The model has embed_tokens")
    assert counts["shape"] == 1


def test_a_loss_that_is_logged_once_is_warned_of(profile: Path) -> None:
    often, once = (make_plan(profile, overrides={"training.logging_steps": steps}).warnings for steps in (1, 2))
    assert [warning for warning in once if warning not in often] == [
        "The loss is logged every 2 steps, and the run has 1 step: it shows one loss, at the end. "
        "To see the loss fall, set training.logging_steps = 1."
    ]


def test_bad_rows_are_said_before_the_forecast(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile.with_name("rows.jsonl").write_text("{\n")
    counts = count_launch_work(profile, monkeypatch)
    with pytest.raises(BadInput, match="line 1: not valid JSON"):
        make_plan(profile)
    assert counts == {"profile": 1, "rows": 1}


def test_rows_that_need_the_environment_are_checked_by_the_launch(
    tmp_path: Path, home: Path, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile.with_name("rows.parquet").write_bytes(b"PAR1")
    plan = make_plan(profile, dataset=str(profile.with_name("rows.parquet")))
    assert plan.good_rows is None
    python = refusing_interpreter(tmp_path)  # it is asked to read the rows
    monkeypatch.setattr("codex_tui.data.sources.build.find_python", lambda: python)
    with pytest.raises(BadInput, match="should not have been started"):
        launcher.launch(plan, python)
    assert not (home / "data" / "runs").exists()


def test_a_name_that_was_taken_meanwhile_is_refused(tmp_path: Path, profile: Path) -> None:
    plan = make_plan(profile, name="mine")
    python = idle_interpreter(tmp_path)
    launcher.launch(plan, python)
    with pytest.raises(BadInput, match="a run called mine already"):
        launcher.launch(plan, python)
    with pytest.raises(BadInput, match="a run called mine already"):
        changes.check_name("mine")


def test_the_faults_of_the_book_are_said_all_at_once(tmp_path: Path, profile: Path) -> None:
    profile.write_text(profile.read_text() + '[evaluation]\nbook = "book.jsonl"\n')
    book = tmp_path / "book.jsonl"
    with pytest.raises(BadInput, match=r"^evaluation.book: .*book.jsonl can't be read: No such file"):
        make_plan(profile)
    book.write_text('{"id": "x", "question": "Hi?", "mast": "y"}\n{"question": "Hi?", "must": {"re": "("}}\n')
    with pytest.raises(BadInput) as caught:
        make_plan(profile)
    first, *faults = caught.value.message.splitlines()
    assert first == f"evaluation.book: {book} has 3 faults:"
    assert [fault.split(":")[0] for fault in faults] == ["  line 1, mast", "  line 1, must", "  line 2, must"]
    book.write_text('{"question": "Hi?", "reference": "Hello."}\n')
    with pytest.raises(BadInput, match=r"no question of book.jsonl has must or must_not, so no answer can pass"):
        make_plan(profile)
    book.write_text('{"question": "Hi?", "must": "Hello"}\n')
    plan = make_plan(profile)
    assert plan.book is not None and plan.book.content == book.read_bytes()
