"""Tells the person about the runs that this app has opened: the terminal's title, the bell, and their own command.

A run that still trains when its cockpit closes is followed on, so that its end is announced all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from codex_tui.base import notify, settings
from codex_tui.base.errors import BadInput
from codex_tui.base.text import clean, shorten
from codex_tui.ui.kit.figures import compute_percent
from codex_tui.ui.runs.status import SIGNS

if TYPE_CHECKING:
    from codex_tui.runs.announcements import Announcement, Announcer
    from codex_tui.runs.follower import RunFollower
    from codex_tui.runs.notices import NoticeSender
    from codex_tui.runs.watched import WatchedRun
    from training.contract.run_directory import RunDirectory

QUIT_SECONDS = 3.0  # that a quit waits for notices that are being sent
MAX_NAME = 40  # characters of a run's name in the title


class Alerts:
    """`write` sends a sequence to the terminal. `complain` shows a sentence to the person; a thread may call it."""

    def __init__(self, write: Callable[[str], None], complain: Callable[[str], None]) -> None:
        self._write = write
        self._complain = complain
        self._announcers: dict[str, Announcer] = {}
        self._unwatched: dict[str, RunFollower] = {}  # of runs that train and have no cockpit now
        self._title = ""
        self._sender: NoticeSender | None = None

    @property
    def has_title(self) -> bool:
        """Whether the terminal has a title of ours."""
        return bool(self._title)

    def on_change(self, run: RunDirectory, watched: WatchedRun) -> None:
        """`watched` must have the whole history of the run."""
        from codex_tui.runs.announcements import Announcer  # not needed for the first paint of other screens

        announcer = self._announcers.setdefault(str(run.path), Announcer(run))
        self._set_title(format_title(run.name, watched))
        if announcement := announcer.find_new(watched):
            self._announce(announcement)

    def on_end_shown(self, run: RunDirectory) -> None:
        """Remember that the person has seen how the run ended, so that the next start does not open it again."""
        from codex_tui.runs.announced import claim

        claim(run, "seen")

    def keep_following(self, follower: RunFollower) -> None:
        self._unwatched[str(follower.run.path)] = follower

    def stop_following(self, run: RunDirectory) -> None:
        self._unwatched.pop(str(run.path), None)

    def poll(self) -> None:
        """Look at the runs that train and have no cockpit now."""
        for path, follower in list(self._unwatched.items()):
            if follower.poll() and follower.complete:
                self.on_change(follower.run, follower.watched)
                if follower.watched.ended:
                    del self._unwatched[path]

    def suspend_title(self) -> None:
        """Give the terminal its own title back, for another program."""
        if self._title:
            self._write(notify.RESTORE_TITLE)

    def resume_title(self) -> None:
        if self._title:
            self._write(notify.SAVE_TITLE + notify.format_title(self._title))

    def _set_title(self, title: str) -> None:
        if title != self._title:
            self._write(("" if self._title else notify.SAVE_TITLE) + notify.format_title(title))
            self._title = title

    def _announce(self, announcement: Announcement) -> None:
        from codex_tui.runs import notices

        try:
            preferences = settings.load()
        except BadInput as error:
            self._complain(error.message)
            return
        if preferences.notify_terminal:
            self._write(notify.format_notification(announcement.title, announcement.message))
        self._sender = self._sender or notices.NoticeSender(self._complain)
        self._sender.send(announcement, preferences)

    def finish(self) -> None:
        """Wait a short while for the notices that are being sent. The app calls it before it quits."""
        if self._sender:
            self._sender.finish(QUIT_SECONDS)


def format_title(name: str, watched: WatchedRun) -> str:
    """Return a title such as "● 45 % zombies-1" or "✓ zombies-1 done"."""
    sign, _ = SIGNS.get(watched.status, ("", ""))
    run, state = shorten(clean(name), MAX_NAME), watched.state
    if not watched.works or not state.total_steps:
        return f"{sign} {run} {watched.status}"
    return f"{sign} {compute_percent(min(state.step, state.total_steps), state.total_steps)} % {run}"
