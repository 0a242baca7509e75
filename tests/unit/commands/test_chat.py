"""`codex-tui chat --prompt`, with a small process in the place of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.config_file import write_config
from support.engine_runs import put_on_box, put_on_slurm
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.fake_runs import make_run

from codex_tui.cli import main
from codex_tui.runs.facts import suggest_chat
from training.contract import events as ev
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    name_in_settings(fake_interpreter(tmp_path, "chat_worker"))
    return run


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"temperature": 0.0, "top_p": 1.0, "seed": None, "max_new_tokens": 256, "adapter": True}),
        (["--system", "Be brief."], {"system_prompt": "Be brief."}),
        (["--system", " "], {"system_prompt": None}),
        (
            ["--temperature", "0.7", "--top-p", "0.9", "--seed", "3", "--max-new-tokens", "9", "--base"],
            {"temperature": 0.7, "top_p": 0.9, "seed": 3, "max_new_tokens": 9, "adapter": False},
        ),
    ],
)
def test_the_settings_reach_the_worker(
    run: RunDirectory, options: list[str], expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "a", "--prompt", "your request?", *options]) == 0
    request = json.loads(capsys.readouterr().out)
    assert request["messages"] == [{"role": "user", "content": "your request?"}]
    assert request == request | expected
    assert ("system_prompt" in request) == ("--system" in options)  # else the worker takes the run's own


@pytest.mark.parametrize("option", ["--in-trainer", "--park"])
def test_the_trainer_of_another_machine_is_not_asked(
    run: RunDirectory, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run.events.write_bytes(run.events.read_bytes().splitlines(keepends=True)[0])
    for host, place in (("n1", "Slurm (n1)"), ("", "Slurm")):
        put_on_slurm(run, "running", host=host)
        assert main(["chat", "a", "--prompt", "your request?", option]) == 2
        err = " ".join(capsys.readouterr().err.split())
        assert f"a is on {place}, and a chat needs its model here. Leave out {option}." in err
    assert main(["chat", "a", "--prompt", "your request?"]) == 0
    put_on_box(run, "running")
    assert main(["chat", "a", "--prompt", "your request?", option]) == 2
    assert "a is on box, where nobody can ask it from here." in capsys.readouterr().err
    assert not run.questions.exists() and not run.loans.exists()


@pytest.mark.parametrize("option", ["--in-trainer", "--park"])
def test_of_an_ended_run_of_another_machine_nothing_is_said_to_come(
    run: RunDirectory, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_on_box(run, "gone")
    code = main(["chat", "a", "--prompt", "your request?", option])
    printed = capsys.readouterr().err
    assert "comes here at its end" not in printed
    assert (code, "a does not train now" in printed) == ((2, True) if option == "--in-trainer" else (0, False))


def test_a_run_on_plain_text_is_offered_for_a_text(run: RunDirectory) -> None:
    assert suggest_chat(run) == "Chat with it: codex-tui chat a"
    write_config(run, {"row_form": {"text": True}})
    assert suggest_chat(run) == "Let it continue a text: codex-tui chat a"
