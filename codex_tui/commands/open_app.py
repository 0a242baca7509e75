"""Opens the app: on a run, or on the profile picker."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from codex_tui.base.errors import DONE, FAILED, BadInput
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.data.target import Target


def open_live_run(low_bandwidth: bool | None = None) -> int:
    """The app on the run that is training, or on the last one where it was lost or failed, else the profile picker."""
    from codex_tui.runs.library import find_run_to_open

    return open_app(find_run_to_open(), low_bandwidth=low_bandwidth)


def open_app(
    run: RunDirectory | None,
    pane: str | None = None,
    *,
    base: bool = False,
    data: Target | None = None,
    low_bandwidth: bool | None = None,
    otherwise: str = "codex-tui runs, or --headless",
) -> int:
    """The app on `run`, on the pane of that name, its chat with the base model where `base`; or on the rows `data`.

    `low_bandwidth` None: as settings.toml says, else over SSH. Says on leaving how to come back to a run that goes on.

    Raises BadInput where there is no terminal; `otherwise` is what to do then.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("The app needs a terminal.", f"Without one: {otherwise}")
    from codex_tui.base import bandwidth

    bandwidth.choose(low_bandwidth)
    from codex_tui.ui.app import CodexApp

    app = CodexApp(run, pane=pane, base=base, data=data)
    app.run()
    for watched in app.find_live_runs():
        print(f"{watched.name} goes on. Come back with: codex-tui attach {watched.name}")
    return DONE if app.return_code in (0, None) else FAILED
