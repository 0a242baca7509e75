"""The row that shows the work in progress: its name, a bar, its share, and the time that remains."""

from __future__ import annotations

from textual.content import Content

from codex_tui.base.progress import ProgressTracker
from codex_tui.base.text import clean, format_duration
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, line

STEP_NAMES = {"scanning": "reading the rows", "tokenising": "counting tokens", "indexing": "finding the rows"}


def draw_work(work: ProgressTracker, keys: str, width: int) -> Content:
    """Draws the work in progress, with its progress and the remaining time."""
    progress, seconds_left = work.progress, work.seconds_left
    name = STEP_NAMES.get(progress.step, clean(progress.step))
    bar = figures.draw_progress(progress.fraction, max(6, min(24, width - 60)))
    remaining = f", about {format_duration(seconds_left)} left" if seconds_left is not None else ""
    share = f" {figures.compute_percent(progress.done, progress.total)} %{remaining}" if progress.total else " …"
    return line((f"{name[:1].upper()}{name[1:]} ", MUTED), bar, share, (f"   {keys}" if keys else "", MUTED))
