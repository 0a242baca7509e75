"""A real terminal gets the title of the run, a bell at its end, and its own title back."""

from __future__ import annotations

import re

from support.fake_runs import append_events, make_run
from support.terminal import Terminal

from training.contract import events as ev

OSC = re.compile(rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
SAVED, RESTORED = b"\x1b[22;0t", b"\x1b]2;\x07\x1b[23;0t"


def test_the_terminal_shows_the_run_and_rings_at_its_end(codex_tui: str, home: object) -> None:
    resolved = ev.Resolved(total_steps=10, steps_per_epoch=10, train_rows=3, eval_rows=1)
    losses = [ev.Metrics(step=step, loss=1.0) for step in range(1, 6)]
    run = make_run("a", ev.Started(attempt=1, pid=1), resolved, ev.Phase(name="training"), *losses, alive=True)
    with Terminal([codex_tui, "attach", "a"]) as terminal:
        terminal.until("step 5 / 10")
        terminal.until_true(lambda: "\x1b]0;● 50 % a\x07".encode() in terminal.received, "no title")
        assert terminal.received.index(SAVED) < terminal.received.index(b"\x1b]0;")
        assert b"\x07" not in OSC.sub(b"", terminal.received)
        append_events(run, ev.Eval(step=10, eval_loss=0.25), ev.Done(step=10))
        terminal.until("Done in")
        terminal.until_true(lambda: b"\x07\x1b]9;a is done: Done in" in terminal.received, "no bell")
        assert "\x1b]0;✓ a done\x07".encode() in terminal.received
        terminal.send("q")
        assert terminal.wait() == 0
        assert RESTORED in terminal.received


def test_a_screen_without_a_run_leaves_the_title_alone(codex_tui: str, home: object) -> None:
    with Terminal([codex_tui]) as terminal:
        terminal.until("rtx4060")
        terminal.send("q")
        assert terminal.wait() == 0
        assert SAVED not in terminal.received and b"\x1b]0;" not in terminal.received
