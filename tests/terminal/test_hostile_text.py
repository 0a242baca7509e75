"""What strangers wrote must not reach the terminal as a command: seen in the bytes of a real pty."""

import json
from pathlib import Path

import pytest
from support.config_file import write_config
from support.terminal import Terminal

from codex_tui.base import locations
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.tables import Model

ATTACKS = {
    "title": "\x1b]0;OWNED-{}\x07",
    "clipboard": "\x1b]52;c;T1dORUQ=\x07OWNED-{}",
    "clear": "\x1b[2JOWNED-{}",
    "c1": "\x9b2J\x9d0;OWNED-{}\x9c",
    "bidi": "\u202eOWNED-{}\u202c",
    "markup": "[@click=app.quit]OWNED-{}[/] [/INST]",
}
FORBIDDEN = [b"\x1b]0;OWNED", b"\x1b]52;", b"\x1b[2JOWNED", b"\xc2\x9b", b"\xc2\x9d", "\u202e".encode()]


def hostile(where: str) -> str:
    return " ".join(attack.format(where) for attack in ATTACKS.values())


@pytest.fixture
def run(home: Path) -> RunDirectory:
    """A finished run in which every text that came from outside is hostile."""
    from codex_tui.environment import build

    run = RunDirectory(locations.runs_home() / "hostile-1")
    run.create()
    rows = home / "rows.jsonl"
    pairs = [{"instruction": f"{hostile('row')} {n}", "response": hostile("answer")} for n in range(20)]
    rows.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    profile = Profile(title=hostile("profile"), model=Model(name="demo:llama", load_in_4bit=False))
    run.profile.write_text("")
    write_config(
        run,
        {
            "version": 1,
            "name": run.name,
            "created": 1e9,
            "profile_name": hostile("name"),
            "profile": profile.model_dump(mode="json"),
            "dataset": str(rows),
            "python": str(build.find_python()),
            "cache": str(locations.cache_home()),
        },
    )
    run.write_process(ProcessIdentity(1, 1.0))
    run.log.write_text(hostile("log") + "\n", encoding="utf-8")
    writer = EventWriter(run.events)
    writer.emit(ev.Started(attempt=1, pid=1))
    writer.emit(ev.Phase(name="training", detail=hostile("phase")))
    writer.emit(ev.Resolved(total_steps=2, steps_per_epoch=2, train_rows=18, eval_rows=2, device=hostile("device")))
    writer.emit(ev.Metrics(step=1, loss=2.0))
    writer.emit(ev.Sample(step=1, prompt=hostile("prompt"), text=hostile("sample")))
    writer.emit(ev.Warned(message=hostile("warning")))
    writer.emit(ev.Failed(kind="unknown", message=hostile("message"), hint=hostile("hint"), traceback=hostile("trace")))
    writer.close()
    return run


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 36)])
def test_no_pane_lets_an_escape_sequence_through(codex_tui: str, run: RunDirectory, columns: int, rows: int) -> None:
    with Terminal([codex_tui, "attach", run.name], columns=columns, rows=rows) as terminal:
        terminal.until("failed")
        for pane in "12345":
            terminal.type(pane, "esc")  # the chat takes the keys until it is left
            terminal.settle()
        terminal.type("3")
        terminal.until("OWNED-sample")
        terminal.type("d")
        terminal.until("OWNED-row")  # from a real worker
        terminal.type("?", "esc", "o")
        terminal.settle()
        assert terminal.received.count(b"OWNED-") > 3  # it is shown,
        for sequence in FORBIDDEN:
            assert sequence not in terminal.received  # but as text, never as a command
        terminal.type("q")


@pytest.mark.parametrize("command", [["runs"], ["attach", "hostile-1", "--headless"]])
def test_no_command_lets_one_through_either(codex_tui: str, run: RunDirectory, command: list[str]) -> None:
    with Terminal([codex_tui, *command], columns=200) as terminal:
        terminal.wait()
        terminal.read(0.5)
        assert b"OWNED-message" in terminal.received
        for sequence in FORBIDDEN:
            assert sequence not in terminal.received
