"""Starting trainers: real processes, with a stand-in for the interpreter that trains."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.config_file import read_config
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.kept_runs import until
from support.launched_runs import kill_trainers, launch, write_profile

from codex_tui import launcher
from codex_tui.base import locations, settings
from codex_tui.base.errors import BadInput, EnvironmentMissing
from codex_tui.launch_plan import make_plan
from codex_tui.runs.queue import describe_busy_for
from training.contract.card_queue import CardQueue
from training.contract.run_directory import RunDirectory
from training.dataset.book import DEMO_BOOK_FILE
from training.dataset.source import DEMO_BOOK


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    kill_trainers()


@pytest.fixture
def python(home: Path, tmp_path: Path) -> Path:
    """An interpreter that the settings name."""
    python = fake_interpreter(tmp_path, "waiting_trainer", "obedient")
    name_in_settings(python)
    return python


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path)


def log(run: RunDirectory) -> str:
    return run.log.read_text()


def test_a_launched_trainer_stands_on_its_own(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python)
    assert run.path == home / "data" / "runs" / "small-1"
    identity = run.read_keeper()
    assert identity is not None and identity.is_alive()  # said by the launcher, before the keeper can
    assert identity.attempt == 1
    assert os.getsid(identity.pid) == identity.pid != os.getsid(0)
    until(lambda: "training" in log(run))
    assert run.read_keeper() == identity
    assert log(run).split() == [
        "training",
        str(run.path),
        "True",
        str(next((home / "cache" / "trainer-path").iterdir())),
    ]

    assert run.profile.read_bytes() == profile.read_bytes()
    config = read_config(run)
    assert config["dataset"] == str(profile.with_name("rows.jsonl"))
    assert config["profile"]["training"]["learning_rate"] == 2e-4  # a default, made explicit
    assert config["python"] == str(python)
    assert config["cache"] == str(home / "cache")


def test_a_run_is_its_owners_alone(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python)
    until(lambda: run.lock.exists() and "training" in log(run))
    assert locations.runs_home().stat().st_mode & 0o777 == 0o700
    assert run.path.stat().st_mode & 0o777 == 0o700
    for path in (run.profile, run.config, run.process, run.log):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_runs_are_numbered_and_names_are_kept(home: Path, python: Path, profile: Path) -> None:
    assert [launch(profile, python=python).name for _ in range(2)] == ["small-1", "small-2"]
    assert launch(profile, name="mine", python=python).name == "mine"
    odd = profile.rename(profile.with_name("..Ünsafe name;$(x).toml"))
    assert launch(odd, python=python).name == "nsafe-name-x-1"
    with pytest.raises(BadInput, match="called mine already"):
        launch(odd, name="mine", python=python)


@pytest.mark.parametrize("name", ["", "..", "../mine", "/tmp/mine", ".mine", "-mine", "a b", "a\n", "last", "a" * 65])
def test_a_name_stays_within_its_folder(home: Path, python: Path, profile: Path, name: str) -> None:
    with pytest.raises(BadInput, match="can't be a run's name"):
        launch(profile, name=name, python=python)
    assert not locations.runs_home().exists()


def test_what_the_training_libraries_can_not_name_is_refused(home: Path, python: Path, profile: Path) -> None:
    rows = profile.with_name("rows.jsonl").rename(profile.with_name(os.fsdecode(b"rows-\xff.jsonl")))
    with pytest.raises(BadInput, match="is not UTF-8"):
        launch(profile, dataset=str(rows), python=python)
    assert not locations.runs_home().exists()


def test_a_model_beside_the_profile_is_found_from_anywhere(home: Path, python: Path, profile: Path) -> None:
    profile.write_text('[model]\nname = "./models/small"\n[dataset]\npath = "rows.jsonl"\n')
    config = read_config(launch(profile, python=python))
    assert config["profile"]["model"]["name"] == str(profile.parent / "models" / "small")


def test_a_run_keeps_what_it_came_to_and_what_was_set_for_it(home: Path, python: Path, profile: Path) -> None:
    child = profile.with_name("deeper") / "child.toml"
    child.parent.mkdir()
    child.write_text('extends = "../small.toml"\n[lora]\nr = 8\n')
    run = launch(child, python=python, overrides={"lora.lora_alpha": 4})
    config = read_config(run)
    assert run.name == "child-1"
    assert run.profile.read_bytes() == child.read_bytes()
    assert config["profile"]["model"]["name"] == "demo:llama"
    assert (config["profile"]["lora"]["r"], config["profile"]["lora"]["lora_alpha"]) == (8, 4)
    assert config["dataset"] == str(profile.with_name("rows.jsonl"))  # relative to the file that names it
    assert config["overrides"] == {"lora.lora_alpha": 4}
    assert "overrides" not in read_config(launch(child, python=python))


def test_a_run_keeps_its_deadline_as_a_moment(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python, until=2e9)
    assert read_config(run)["until"] == 2e9
    assert "until" not in read_config(launch(profile, python=python))


def test_a_profile_can_name_its_runs(home: Path, python: Path, profile: Path) -> None:
    profile.write_text(profile.read_text() + '[launch]\nname = "guide"\n')
    assert [launch(profile, python=python).name for _ in range(2)] == ["guide-1", "guide-2"]
    assert launch(profile, python=python, overrides={"launch.name": "other"}).name == "other-1"
    assert launch(profile, name="mine", python=python).name == "mine"


def test_an_interpreter_that_does_not_start_is_named(home: Path, profile: Path, tmp_path: Path) -> None:
    plan = make_plan(profile)
    with settings.use_python(tmp_path / "none"), pytest.raises(EnvironmentMissing, match="There is no Python at"):
        launcher.launch(plan)
    assert not locations.runs_home().exists()


def test_a_run_does_not_come_before_itself(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python)
    until(lambda: "training" in log(run))
    assert describe_busy_for(run) == ""  # another viewer may have resumed it just now

    lease = CardQueue.of_card(locations.runs_home(), "cpu").take("other", start_now=True)
    assert describe_busy_for(run) == "other trains on the CPU."
    lease.close()


def test_a_run_keeps_the_book_that_was_checked(
    home: Path, python: Path, profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "book.jsonl"
    book.write_text('{"question": "Hi?", "must": "Hello"}\n')
    profile.write_text(profile.read_text() + '[evaluation]\nbook = "./book.jsonl"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    plan = make_plan(profile)
    content = book.read_bytes()
    book.write_text("")  # edited meanwhile
    run = launcher.launch(plan, python)
    assert run.book.read_bytes() == content
    assert read_config(run)["profile"]["evaluation"]["book"] == str(book)
    shipped = launch(profile, python, overrides={"evaluation.book": DEMO_BOOK})
    assert shipped.book.read_bytes() == DEMO_BOOK_FILE.read_bytes()
    assert read_config(shipped)["profile"]["evaluation"]["book"] == DEMO_BOOK
    assert not launch(profile, python, overrides={"evaluation.book": None}).book.exists()


def test_a_tracker_that_is_not_installed_is_named_with_the_command_to_type(
    profile: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = python.read_text()
    python.write_text(text.replace('dict.fromkeys(names, "1.0")', '{**dict.fromkeys(names, "1.0"), "trackio": None}'))
    with pytest.raises(BadInput, match="names Trackio, which is not installed") as raised:
        launch(profile, python, overrides={"tracking.to": ["tensorboard", "trackio"]})
    assert f"{python} -m pip install trackio==" in raised.value.hint
    assert not list(locations.runs_home().glob("*"))
