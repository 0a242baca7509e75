"""Looks at the judge screen, and waits for what it shows."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from codex_tui.ui.judge.screen import JudgeScreen
from codex_tui.ui.kit.hints import HintBar
from support.pilot import screen_text, settled, until


async def see(pilot: Pilot[Any], *texts: str) -> None:
    await until(pilot, lambda: all(text in words_of(pilot) for text in texts))


async def hide(pilot: Pilot[Any], *texts: str) -> None:
    await until(pilot, lambda: not any(text in words_of(pilot) for text in texts))


def words_of(pilot: Pilot[Any]) -> str:
    """The text without frames and ends of lines, so that a sentence may be wrapped."""
    return " ".join(screen_text(pilot.app).replace("│", " ").split())


def hints_of(pilot: Pilot[Any]) -> list[str]:
    return pilot.app.screen.query_one(HintBar).keys


async def open_judgement(pilot: Pilot[Any], then: str = "What can be concluded") -> JudgeScreen:
    await settled(pilot)
    await pilot.press("J")
    await until(pilot, lambda: isinstance(pilot.app.screen, JudgeScreen))
    await see(pilot, then)
    return pilot.app.screen
