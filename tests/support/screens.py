"""What the tests of the screens share: a fixed time, a fixed machine, and text that attacks the terminal."""

from __future__ import annotations

from collections.abc import Callable

from codex_tui.machine.gpu import GpuReading, Reading
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.panes import PANES
from training.contract.run_directory import RunDirectory

NOW = 1_790_000_000.0
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m [/INST] [/] [@click=app.quit]x[/] <s>[INST] hi"

MakeRun = Callable[..., RunDirectory]


def machine() -> Reading:
    return Reading(
        gpu=GpuReading("NVIDIA RTX 3060 Laptop GPU", 4710, 6144, 74, 97, 81.0, 95.0, 1725, 2100, ("power cap",)),
        gpu_reason="",
        cpu_percent=15.0,
        ram_used_mib=6400,
        ram_total_mib=16000,
    )


def find_shown_panes(app: CodexApp) -> list[str]:
    """Find the panes of the cockpit that are shown now."""
    return [pane for pane, _ in PANES if app.screen.query_one(f"#{pane}").display]
