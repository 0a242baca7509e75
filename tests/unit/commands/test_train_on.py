"""`train --on PLACE`: the same profile is trained elsewhere, and this machine needs nothing that it does not use."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from support.config_file import read_config
from support.fake_engine import FakeEngine, use_fake_engine
from support.fake_runs import append_events

from codex_tui.base import locations, settings
from codex_tui.base.errors import BadInput, EnvironmentMissing
from codex_tui.cli import main
from codex_tui.engines.engine import Start
from codex_tui.launch_plan import make_plan
from codex_tui.profiles.overrides import parse_place
from training.contract import events as ev
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text('[model]\nname = "demo:llama"\n[dataset]\npath = "rows.jsonl"\n[launch]\non_no_fit = "refuse"\n')
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Who?", "response": "Rook."}\n')
    return path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Start]:
    """How runs were started. Each is done at once."""
    use_fake_engine(monkeypatch)
    starts: list[Start] = []
    begin = FakeEngine.start

    def start(self: FakeEngine, run: RunDirectory, start: Start) -> None:
        begin(self, run, start)
        starts.append(start)
        append_events(run, ev.Started(attempt=start.attempt, pid=1), ev.Done(step=1))
        record = run.read_engine()
        assert record
        FakeEngine.answers[run.name] = msgspec.structs.replace(record, status="gone", seen=time.time())

    monkeypatch.setattr(FakeEngine, "start", start)
    return starts


def test_a_remote_trains_without_an_environment_here(
    profile: Path, tmp_path: Path, trained: list[Start], capsys: pytest.CaptureFixture[str]
) -> None:
    with settings.use_python(tmp_path / "none"):
        assert main(["train", str(profile), "--on", "box", "--headless"]) == 0
    [start] = trained
    assert start.interpreter is None and start.profile.launch.ssh.remote == "box"
    run = RunDirectory(locations.runs_home() / "small-1")
    config = read_config(run)
    assert config["profile"]["launch"]["engine"] == "ssh" and config["overrides"]["launch.ssh.remote"] == "box"
    assert run.profile.read_bytes() == profile.read_bytes()
    assert "small-1" in capsys.readouterr().out


def test_a_cluster_uses_the_environment_of_this_machine(profile: Path, tmp_path: Path, trained: list[Start]) -> None:
    with settings.use_python(tmp_path / "none"), pytest.raises(EnvironmentMissing):
        from codex_tui import launcher

        launcher.launch(make_plan(profile, overrides=parse_place("slurm")))
    assert not trained


def test_several_runs_are_handed_over_at_once(
    profile: Path, trained: list[Start], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(profile), "--on", "box", "--sweep", "lora.r=8,16"]) == 0
    printed = capsys.readouterr()
    assert "2 runs, each queued where it is trained." in printed.err
    assert "small-r8  done\nsmall-r16  done\n" in printed.out
    assert [start.profile.lora.r for start in trained] == [8, 16] and all(start.wait for start in trained)


def test_on_local_overrides_the_engine_of_the_profile(profile: Path) -> None:
    profile.write_text(profile.read_text() + 'engine = "slurm"\n')
    assert make_plan(profile, overrides=parse_place("local")).profile.launch.is_local


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", "-oProxyCommand=x"], "--on"),
        (["--on", "a b"], "--on: should be text, letters, digits"),
        (["--on", "box", "--set", "launch.engine=slurm"], "both give launch.engine"),
        (["--on", "local", "--set", "launch.nodes=2"], 'launch.nodes: 2 machines need engine = "slurm"'),
    ],
)
def test_a_mistake_starts_nothing(
    arguments: list[str], words: str, profile: Path, trained: list[Start], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["train", str(profile), *arguments])
    except SystemExit as end:  # argparse takes it for an option
        code = int(str(end.code))
    assert code == 2 and words in capsys.readouterr().err
    assert not trained and not locations.runs_home().exists()


def test_an_engine_that_can_not_be_used_is_refused_before_anything_is_written(
    profile: Path, trained: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: FakeEngine, profile: Profile) -> None:
        raise BadInput("There is no remote called box.", "Add it with: codex-tui remote add box user@host")

    monkeypatch.setattr(FakeEngine, "check", check)
    with pytest.raises(BadInput, match="no remote called box"):
        make_plan(profile, overrides=parse_place("box"))
    assert not locations.runs_home().exists()


def test_a_failed_start_leaves_no_run_unless_it_may_have_begun(
    profile: Path, trained: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    from codex_tui import launcher

    def refuse(self: FakeEngine, run: RunDirectory, start: Start) -> None:
        raise BadInput("Invalid partition.")

    plan = make_plan(profile, overrides=parse_place("box"))
    monkeypatch.setattr(FakeEngine, "start", refuse)
    with pytest.raises(BadInput):
        launcher.launch(plan)
    assert not [*locations.runs_home().iterdir()]
