"""Opens the app: on a run, or on the profile picker."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

from codex_tui.base.errors import DONE, FAILED, BadInput
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.data.target import Target
    from codex_tui.workers.room import ChatWay


def open_live_run(low_bandwidth: bool | None = None) -> int:
    """Open the app on the live run, on the last run if it was lost or failed, or on the list of profiles."""
    from codex_tui.runs.live import find_run_to_open

    return open_app(find_run_to_open(), low_bandwidth=low_bandwidth)


def open_app(
    run: RunDirectory | None,
    pane: str | None = None,
    *,
    base: bool = False,
    chat_way: ChatWay | None = None,
    data: Target | None = None,
    low_bandwidth: bool | None = None,
    otherwise: str = "codex-tui runs, or --headless",
) -> int:
    """Open the app on a pane of `run`, on the rows `data`, or on the list of profiles, until the person quits.

    `base`: the chat asks the base model. `chat_way`: how it answers while the run trains. `low_bandwidth` None:
    settings.toml decides, else it is on over SSH.
    Prints how to come back to each run that continues.

    Raises BadInput if there is no terminal; its hint is `otherwise`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("The app needs a terminal.", f"Without one: {otherwise}")
    from codex_tui.base import bandwidth, notify

    gc.disable()  # a start makes no garbage worth a search, which costs a twentieth of the time; the app enables it
    bandwidth.choose(low_bandwidth)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as after nohup: the app would outlive its terminal
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in ("COLUMNS", "LINES"):  # exported, they would hide the terminal's own size, and each change of it
        os.environ.pop(name, None)
    from codex_tui.ui.app import CodexApp

    app = CodexApp(run, pane=pane, base=base, chat_way=chat_way, data=data)
    try:
        app.run()
    finally:
        if app.alerts.has_title:
            print(notify.RESTORE_TITLE, end="", flush=True)
        app.alerts.finish()
    for watched in app.find_live_runs():
        goes_on = "continues" if watched.is_trainer_alive() else "waits, and continues by itself or with L"
        print(f"{watched.name} {goes_on}. Come back with: codex-tui attach {watched.name}")
    return DONE if app.return_code in (0, None) else FAILED
