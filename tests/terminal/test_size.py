"""The app fills the terminal that it is in, and follows its size."""

from __future__ import annotations

from support.terminal import Terminal


def test_an_exported_size_of_another_terminal_is_not_taken(codex_tui: str, home: object) -> None:
    exported = {"COLUMNS": "80", "LINES": "44"}  # as `eval $(resize)` leaves them, or the terminal that started tmux
    with Terminal([codex_tui], columns=110, rows=30, env=exported) as terminal:
        terminal.until("rtx4060")
        for columns, rows in ((110, 30), (90, 24)):
            terminal.resize(columns, rows)
            terminal.until_true(
                lambda width=columns: len(terminal.text.splitlines()[-1]) == width - 1, "the app has another size"
            )
            assert terminal.text.splitlines()[-1].endswith("q quit")
