"""Tests that a card on the Hub does not contain the home folder."""

from __future__ import annotations

import pytest

from codex_tui.hub.cards import hide_home


def test_a_home_is_hidden_and_another_that_begins_like_it_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    assert hide_home('"/home/al/rows.jsonl", /home/al') == '"~/rows.jsonl", ~'
    assert hide_home("/home/alice/rows.jsonl") == "/home/alice/rows.jsonl"
    monkeypatch.setenv("HOME", "/")
    assert hide_home("/rows.jsonl") == "/rows.jsonl"
