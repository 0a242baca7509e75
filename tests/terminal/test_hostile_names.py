"""What strangers named, and what is too much of a good thing: hostile names of runs, models, files and columns, words
of a megabyte, letters with thousands of marks, and an answer that comes in halves; in the bytes of a real pty."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.terminal import Terminal

from codex_tui.base import locations
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.tables import Model

EVIL = (
    "\x1b]0;OWNED\x07 \x1b]52;c;T1dORUQ=\x07 \x1b[2JOWNED \x9b2J\x9d0;OWNED\x9c \u202eOWNED\u2066"
    " [@click=app.quit]OWNED[/] [/INST]"
)
NAMED = EVIL.replace("/", "_")  # as a file can be called
WORD = "OWNED" + "w" * 2**20
STORM = "OWNED" + "\u0301" * 5000

# What a terminal would obey, or draw over its neighbours; our own screen has none of these.
OBEYED = re.compile(
    b"\x1b\\]0;OWNED|\x1b\\]52;|\x1b\\[2JOWNED|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|(?:\xcc\x81){5}"
)


def harmless(terminal: Terminal) -> None:
    assert terminal.received.count(b"OWNED") > 1  # it is shown,
    assert not OBEYED.search(terminal.received)  # but as text


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    """Rows, a profile and a run, each under a hostile name."""
    folder = tmp_path / NAMED
    folder.mkdir()
    pairs = [{"instruction": f"{text} {n}", "response": text} for n, text in enumerate((EVIL, WORD, STORM, "a", "b"))]
    (folder / "rows.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    with (folder / f"{NAMED}.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["instruction", "response", EVIL, STORM], *([EVIL, EVIL, "x", "y"] for _ in range(3)), ["1"]]
        )
    (folder / "shared.toml").write_text(
        f"title = {json.dumps(EVIL)}\ndescription = {json.dumps(STORM[:900])}\n[model]\nname = {json.dumps(EVIL)}\n"
    )
    run = RunDirectory(locations.runs_home() / f"names-1{NAMED}")
    run.create()
    profile = Profile(title=EVIL, description=STORM, model=Model(name=EVIL))
    write_config(run, {
        "version": 1, "name": run.name, "created": 1e9, "profile_name": EVIL,
        "profile": profile.model_dump(mode="json"), "dataset": str(folder / "rows.jsonl"), "cache": EVIL,
        "python": EVIL,
    })  # fmt: skip
    name_in_settings(fake_interpreter(tmp_path, "hostile_chat_worker"))
    run.write_process(ProcessIdentity(1, 1.0))
    run.profile.write_text("")
    run.log.write_text(f"{EVIL}\n{WORD}\n{STORM}\n", encoding="utf-8")
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    writer = EventWriter(run.events)
    changed = {EVIL: [EVIL, STORM, EVIL]}
    for event in (
        ev.Started(attempt=1, pid=1), ev.Phase(name="training", detail=STORM, unit=EVIL),
        ev.Resolved(total_steps=2, steps_per_epoch=2, train_rows=18, eval_rows=2, device=STORM, changed=changed),
        ev.Metrics(step=1, loss=2.0), ev.Sample(step=1, prompt=STORM, text=WORD, reference=EVIL),
        ev.Warned(message=WORD), ev.Checkpoint(step=1, path=EVIL),
        ev.Failed(kind="unknown", message=f"OWNED {STORM}", hint=WORD, traceback=EVIL),
    ):  # fmt: skip
        writer.emit(event)
    writer.close()
    return folder


def test_names_words_and_storms_in_the_cockpit(codex_tui: str, folder: Path) -> None:
    with Terminal([codex_tui, "attach", "names-1"], columns=100, rows=30) as terminal:
        terminal.until("failed")
        for pane in "123":
            terminal.type(pane)
            terminal.settle()
        terminal.type("l", "i", "esc", "o")
        terminal.until("names-1")
        harmless(terminal)
        terminal.type("q")


def test_an_answer_in_halves(codex_tui: str, folder: Path) -> None:
    with Terminal([codex_tui, "chat", "names-1"], columns=100, rows=30) as terminal:
        terminal.until("Ask the model")
        terminal.settle()  # what is typed before the field has the focus are keys of the cockpit
        terminal.type("hi", "enter")
        terminal.until("tokens")
        harmless(terminal)


def test_rows_in_the_data_screen(codex_tui: str, folder: Path) -> None:
    with Terminal([codex_tui, "data", "view", str(folder)], columns=100, rows=30) as terminal:
        terminal.until("OWNED")
        for key in ("2", "3", "1", "v", "b", "a", "right", "right", "?", "esc"):
            terminal.type(key)
            terminal.settle()
        harmless(terminal)


@pytest.mark.parametrize(
    "command",
    [
        ["runs"], ["attach", "names-1", "--headless"], ["stop", "names-1"], ["data", "check", "{folder}"],
        ["data", "check", "{folder}", "--json"], ["profile", "check", "{folder}/shared.toml"],
        ["profile", "show", "{folder}/shared.toml"], ["profile", "show", "{folder}/shared.toml", "--json"],
        ["forecast", "{folder}/shared.toml"], ["train", "{folder}/shared.toml", "--dataset", "{folder}/none.jsonl"],
    ],
)  # fmt: skip
def test_no_command_obeys_a_name(codex_tui: str, folder: Path, command: list[str]) -> None:
    with Terminal([codex_tui, *(part.format(folder=folder) for part in command)], columns=200) as terminal:
        terminal.wait()
        terminal.read(0.3)
        assert b"Traceback" not in terminal.received
        assert b"OWNED" in terminal.received
        assert not OBEYED.search(terminal.received)
