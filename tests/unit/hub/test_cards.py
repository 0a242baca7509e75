"""What a card on the Hub must not tell."""

from __future__ import annotations

import pytest

from codex_tui.hub.cards import home_hidden


def test_a_home_is_hidden_and_another_that_begins_like_it_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    assert home_hidden('"/home/al/rows.jsonl", /home/al') == '"~/rows.jsonl", ~'
    assert home_hidden("/home/alice/rows.jsonl") == "/home/alice/rows.jsonl"
    monkeypatch.setenv("HOME", "/")
    assert home_hidden("/rows.jsonl") == "/rows.jsonl"
