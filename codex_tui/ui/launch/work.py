"""The work that a launch begins with, in words: a download of the dataset, and the setup of the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean, format_duration
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, line

if TYPE_CHECKING:
    from codex_tui.base.progress import Progress


def format_fetch(progress: Progress) -> Content:
    return line((f"{clean(progress.step)}{figures.format_share(progress)}", MUTED))


def format_setup(progress: Progress) -> Content:
    left = f", {format_duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
    bar = figures.draw_progress(progress.fraction, 40)
    return line(
        ("Setting up the training environment (only once).\n", MUTED),
        f"{clean(progress.step)}  ", (clean(progress.detail), MUTED), "\n",
        bar, f"  {progress.done} / {progress.total}{left}",
    )  # fmt: skip
