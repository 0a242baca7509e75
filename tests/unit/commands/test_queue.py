"""`codex-tui train` on a busy card, several profiles and sweeps in turn, and `codex-tui queue`."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_runs import make_run
from support.queued_runs import launch, places, queue_home, status, until

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.commands import train
from codex_tui.data import run_time
from codex_tui.engines.ssh.remote.remotes import Remote, add_remote
from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.run_directory import RunDirectory


class Answers(io.StringIO):
    """What a person types in a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(train, "_watch", lambda run, args: 0)
    monkeypatch.setattr("codex_tui.commands.setup.ensure_with_progress", lambda: None)
    with queue_home(tmp_path) as profile:
        yield profile


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", Answers(text))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)


def run(name: str) -> RunDirectory:
    return RunDirectory(locations.runs_home() / name)


def test_on_a_busy_card_a_script_must_say_what_it_wants(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch(profile, "a")
    assert main(["train", str(profile), "--name", "b"]) == 2
    error = capsys.readouterr().err
    assert "a trains on the CPU." in error and "--queue" in error and "--now" in error
    assert not run("b").path.exists()
    assert main(["train", str(profile), "--name", "b", "--queue"]) == 0
    assert main(["train", str(profile), "--name", "c", "--now"]) == 0
    assert places() == ["a training", "c training", "b queued"]


def test_on_a_free_card_nobody_is_asked(profile: Path) -> None:
    assert main(["train", str(profile), "--name", "a"]) == 0
    assert places() == ["a training"]


@pytest.mark.parametrize(
    ("typed", "code", "place"),
    [("\n", 0, "queued"), ("q\n", 0, "queued"), ("n\n", 0, "training"), ("huh\nc\n", 1, None), ("", 1, None)],
)
def test_a_person_is_asked(
    profile: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, place: str | None
) -> None:
    launch(profile, "a")
    answer(monkeypatch, typed)
    assert main(["train", str(profile), "--name", "b"]) == code
    shown = capsys.readouterr().err
    assert "a trains on the CPU." in shown
    assert [text for text in places() if text[0] == "b"] == ([f"b {place}"] if place else [])
    assert ("Nothing was started." in shown) == (place is None)


def test_a_sweep_queues_named_runs_and_says_how_to_compare_them(
    profile: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_time, "find_last_speed_on", lambda *_: 0.05)
    assert main(["train", str(profile), "--sweep", "training.learning_rate=1e-4,2e-4", "--sweep", "lora.r=8,16"]) == 0
    names = ["small-lr1e-4-r8", "small-lr1e-4-r16", "small-lr2e-4-r8", "small-lr2e-4-r16"]
    assert places() == [f"{names[0]} training", *(f"{name} queued" for name in names[1:])]
    shown = capsys.readouterr()
    assert "4 runs, about" in shown.err and "in all" in shown.err
    assert f"Compare them with: codex-tui compare {' '.join(names)}" in shown.out
    # A run that waits already may have a line below its own that says for whom.
    rows = re.findall(r"^ +[0-9·]+ +(small-lr\S+) (.+)$", shown.out, re.MULTILINE)
    assert [name for name, _ in rows] == names and "starts in about" in rows[2][1]
    config = json.loads(run(names[3]).config.read_text())
    assert config["profile"]["lora"]["r"] == 16 and config["overrides"]["training.learning_rate"] == 2e-4


def test_several_profiles_with_one_dataset(profile: Path, tmp_path: Path, capsys: Any) -> None:
    other = tmp_path / "other.toml"
    other.write_text(profile.read_text().replace("rows.jsonl", "none.jsonl"))
    assert main(["train", str(profile), str(other)]) == 2
    shown = capsys.readouterr().err
    assert "1 of 2 runs can't start, so none was started:" in shown and "none.jsonl" in shown
    assert not locations.runs_home().exists() or not places()
    assert main(["train", str(profile), str(other), "--dataset", str(tmp_path / "rows.jsonl")]) == 0
    assert places() == ["small-1 training", "other-1 queued"]


def test_many_runs_need_a_yes(profile: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = ["train", str(profile), "--sweep", "training.seed=1,2,3,4,5,6,7,8,9"]
    assert main(sweep) == 2
    assert "Add --yes" in capsys.readouterr().err
    answer(monkeypatch, "n\n")
    assert main(sweep) == 1
    assert "Start 9 runs? [y/N]" in capsys.readouterr().err
    assert not locations.runs_home().exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{profile}", "--name", "x"], "--name names a single run"),
        (["--sweep", "lora.r=8,16", "--set", "lora.r=4"], "--set and --sweep both give lora.r"),
        (["--sweep", "lora.r=8,16", "--until", "07:00"], "--until is for a single run"),
        (["--sweep", "lora.r=8,16", "--now"], "--now starts a single run"),
        (["--queue", "--now"], "not allowed with argument"),
    ],
)
def test_options_that_contradict_each_other(
    profile: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    try:
        code = main(["train", str(profile), *(text.format(profile=profile) for text in options)])
    except SystemExit as exit_:  # of argparse
        code = int(exit_.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err
    assert not locations.runs_home().exists()


def test_a_value_that_only_the_whole_profile_refuses_is_blamed_on_its_option(
    profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(profile), "--set", "keeper.hours=25:00-7"]) == 2
    error = capsys.readouterr().err
    assert "small.toml can't be used with another value of keeper.hours:" in error
    assert "Correct the option --set or --sweep that gives it." in error and "Edit it" not in error
    profile.write_text(profile.read_text() + '[keeper]\nhours = "25:00-7"\n')
    assert main(["train", str(profile)]) == 2
    assert "Edit it" in capsys.readouterr().err


def test_the_queue_is_listed_moved_and_shortened(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue"]) == 0 and "No run trains or waits." in capsys.readouterr().out
    assert main(["queue", "--json"]) == 0 and json.loads(capsys.readouterr().out) == []
    first, *_ = launch(profile, *"abcd")
    until(lambda: snapshot(first).state.step > 1)  # one step is no pace
    assert main(["queue"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "The CPU"
    assert rows[1].split()[1:3] == ["a", "training"] and "left" in rows[1]
    assert rows[2].split()[:3] == ["1", "b", "queued"] and "starts in about" in rows[2]
    assert "a trains on the CPU. It starts by itself when its turn comes." in rows[3]
    assert main(["queue", "move", "d", "first"]) == 0
    assert "d is number 1 in the queue now." in capsys.readouterr().out
    assert main(["queue", "move", "b", "down"]) == 0
    capsys.readouterr()
    assert main(["queue", "move", "d", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "d", "position": 2}
    assert main(["queue", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["position"], entry["state"], entry["card"]) for entry in entries] == [
        ("a", None, "training", "cpu"), ("c", 1, "queued", "cpu"), ("d", 2, "queued", "cpu"), ("b", 3, "queued", "cpu"),
    ]  # fmt: skip
    assert entries[0]["seconds_left"] > 0 and entries[1]["starts_in_seconds"] > 0
    for target, wrong in (("a", "It trains already."), ("x", "No run is called 'x'")):
        assert main(["queue", "move", target, "first"]) == 2
        assert wrong in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["queue", "move", "b", "sideways"])
    assert "should be up, down, first, last or a position from 1" in capsys.readouterr().err


def test_a_run_on_two_cards_is_in_the_queue_of_both(
    profile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_time, "find_last_speed_on", lambda *_: 0.05)
    text = profile.read_text()
    for name, device in (("a", "[1]"), ("wide", "[0, 1]"), ("c", "0")):
        profile.write_text(text.replace('"cpu"', device))
        assert main(["train", str(profile), "--name", name, "--queue"]) == 0
    until(lambda: snapshot(run("a")).state.step > 1 and snapshot(run("c")).reason)
    assert snapshot(run("wide")).reason == "a trains on GPU 1."
    assert snapshot(run("c")).reason == "wide is before this one."
    assert main(["train", str(profile), "--set", "hardware.device=[0,1]"]) == 2
    assert "a trains on GPU 1; 2 runs are before this one." in capsys.readouterr().err
    assert main(["queue"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("    ")]
    assert [" ".join(row.split()[:3]) for row in rows] == [
        "GPU 0", "1 wide queued", "2 c queued", "GPU 1", "· a training", "1 wide queued",
    ]  # fmt: skip
    assert "with GPU 1, starts in about" in rows[1] and "starts in about" in rows[2] and "with GPU 0" in rows[5]
    assert main(["queue", "--json"]) == 0
    by_name = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert by_name["wide"]["cards"] == ["gpu-0", "gpu-1"]
    assert by_name["c"]["starts_in_seconds"] > by_name["wide"]["starts_in_seconds"] > 0
    assert main(["queue", "move", "wide", "down"]) == 0
    until(lambda: status(run("c")) == "training")
    until(lambda: snapshot(run("wide")).reason == "a trains on GPU 1; c trains on GPU 0.")


def test_a_removed_run_is_stopped(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch(profile, *"abc")
    assert main(["queue", "remove", "a"]) == 2
    assert "a is not queued. It trains already." in capsys.readouterr().err
    assert main(["queue", "remove", "b"]) == 0
    assert "b leaves the queue." in capsys.readouterr().out
    assert main(["queue", "--json", "remove", "c"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "c", "request": "end"}
    until(lambda: status(run("b")) == status(run("c")) == "stopped")
    assert places() == ["a training"]


def test_the_time_of_a_parked_run_does_not_run_down(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [parked] = launch(profile, "a")
    until(lambda: snapshot(parked).state.step > 1)
    assert main(["park", "a"]) == 0
    capsys.readouterr()
    assert main(["queue"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[1:4] == ["a", "parked", "takes"] and row.endswith(" more") and "left" not in row


def test_what_can_not_be_resumed_is_said_before_the_card_is(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, second = launch(profile, *"ab")
    second.request_stop()
    until(lambda: status(second) == "stopped")
    make_run("c", ev.Started(attempt=1, pid=1), ev.Done(step=9))
    run("c").adapter.mkdir()
    (run("c").adapter / "adapter_config.json").write_text("{}")
    assert main(["resume", "c"]) == 2
    assert capsys.readouterr().err.startswith("codex-tui: c is done: nothing is left to train.")
    assert main(["resume", "a"]) == 2
    assert capsys.readouterr().err.startswith("codex-tui: a is training already.")
    assert main(["resume", "b", "c"]) == 2
    assert "c is done" in capsys.readouterr().err
    assert places() == ["a training"]  # b was not started either


def test_runs_are_resumed_in_their_turn(profile: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = launch(profile, *"abc")
    for stopped in (second, third):
        stopped.request_stop()
        until(lambda stopped=stopped: status(stopped) == "stopped")
    assert main(["resume", "b"]) == 2
    assert "a trains on the CPU." in capsys.readouterr().err
    assert main(["resume", "c", "b", "c", "--now"]) == 2
    assert "--now starts a single run" in capsys.readouterr().err
    assert main(["resume", "c", "b", "c"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert rows[0] == ["1", "c"] and ["2", "b"] in rows
    assert places() == ["a training", "c queued", "b queued"]
    until(lambda: status(second) == "queued")
    assert main(["resume", "b", "--queue"]) == 0  # it stays where it is
    answer(monkeypatch, "c\n")
    assert main(["resume", "b"]) == 1
    assert "a trains on the CPU; c is before this one." in capsys.readouterr().err
    assert places() == ["a training", "c queued", "b queued"]
    assert main(["resume", "b", "--now"]) == 0
    until(lambda: status(second) == "training")
    assert status(first) == "training" and status(third) == "queued"


def test_the_list_says_which_remotes_have_queues_of_their_own(
    profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_remote(Remote("box", "nowhere.invalid", "/root"))
    assert main(["queue"]) == 0
    assert capsys.readouterr().out.endswith("box has queues of its own: codex-tui queue --on box\n")
    assert main(["queue", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    for change in (["move", "a", "first"], ["remove", "a"]):
        assert main(["queue", "--on", "box", *change]) == 2
        assert "--on only lists the queues of a remote." in capsys.readouterr().err
    assert main(["queue", "--on", "bix"]) == 2
    assert "There is no remote 'bix'" in capsys.readouterr().err
    assert main(["queue", "--on", "slurm"]) == 2
    assert "squeue --me" in capsys.readouterr().err
