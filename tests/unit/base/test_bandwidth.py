"""Low bandwidth: when it is on, and what it changes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.content import Content

from codex_tui.base import bandwidth, locations
from codex_tui.commands.parser import make_parser
from codex_tui.ui.kit.text_view import TextView


@pytest.fixture(autouse=True)
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    monkeypatch.setattr(bandwidth, "pace", bandwidth.pace)
    for name in ("SSH_CONNECTION", "SSH_TTY", "COLORTERM", "TEXTUAL_FPS", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.setenv(name, "")  # so that it is as it was afterwards
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("asked", "setting", "ssh", "low"),
    [
        (None, "", "", False),
        (None, "", "10.0.0.1 50000 10.0.0.2 22", True),
        (False, "", "10.0.0.1 50000 10.0.0.2 22", False),
        (None, "low_bandwidth = false", "10.0.0.1 50000 10.0.0.2 22", False),
        (None, "low_bandwidth = true", "", True),
        (False, "low_bandwidth = true", "", False),
        (True, "low_bandwidth = false", "", True),
        (None, "low_bandwidth = 3", "", False),  # which doctor tells of
    ],
)
def test_when_it_is_on(monkeypatch: pytest.MonkeyPatch, asked: bool | None, setting: str, ssh: str, low: bool) -> None:
    locations.config_home().mkdir()
    locations.settings_file().write_text(f"[app]\n{setting}\n")
    monkeypatch.setenv("SSH_CONNECTION", ssh)
    monkeypatch.setenv("COLORTERM", "truecolor")
    bandwidth.choose(asked)
    assert bandwidth.pace.low is low
    assert (os.environ.get("TEXTUAL_FPS"), os.environ.get("TEXTUAL_COLOR_SYSTEM")) == (
        (bandwidth.FRAMES_PER_SECOND, "256") if low else (None, None)
    )


def test_a_terminal_of_few_colours_keeps_them() -> None:
    bandwidth.choose(True)
    assert "TEXTUAL_COLOR_SYSTEM" not in os.environ


def test_what_it_changes_is_halved_at_least() -> None:
    assert bandwidth.LOW.tick >= 2 * bandwidth.Pace().tick and bandwidth.LOW.frame >= 2 * bandwidth.Pace().frame


@pytest.mark.parametrize(
    "arguments", [[], ["demo"], ["train", "p"], ["attach"], ["resume", "r"], ["chat", "r"], ["data", "view", "f"]]
)
def test_every_command_that_opens_the_app_has_it(arguments: list[str]) -> None:
    def asked(*given: str) -> bool | None:
        parsed: argparse.Namespace = make_parser().parse_args(given)
        return parsed.low_bandwidth

    assert asked(*arguments) is None
    assert asked("--low-bandwidth", *arguments) is asked(*arguments, "--low-bandwidth") is True
    assert asked("--low-bandwidth", *arguments, "--no-low-bandwidth") is False


class Growing(App[None]):
    def compose(self) -> ComposeResult:
        yield TextView(follows=True)


@pytest.mark.parametrize(("pace", "scrolls"), [(bandwidth.Pace(), 30), (bandwidth.LOW, 6)])
async def test_a_text_that_grows_leaps_by_half_a_page(
    monkeypatch: pytest.MonkeyPatch, pace: bandwidth.Pace, scrolls: int
) -> None:
    monkeypatch.setattr(bandwidth, "pace", pace)
    app = Growing()
    async with app.run_test(size=(40, 10)) as pilot:
        view, tops = app.query_one(TextView), set()
        for number in range(40):
            view.append([Content(f"line {number}")], max_paragraphs=1000)
            view.render_line(0)
            tops.add(view._top)
            assert f"line {number}" in "".join(view.render_line(y).text for y in range(10))
        assert len(tops) - 1 == scrolls
        view.append([Content("x")] * 500, max_paragraphs=1000)
        await pilot.pause()
        assert view.render_line(0).text.strip() == view.render_line(9).text.strip() == "x"  # no leap beyond the end
        await pilot.press("tab", "up", "up")
        assert not view.at_end
