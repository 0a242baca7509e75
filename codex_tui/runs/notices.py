"""Sends an announcement to the person: with their own command, and through their webhooks.

A webhook is on another machine, so its notice has no path of this one and nothing of a dataset.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence

from codex_tui.base import notice_log, notify
from codex_tui.base.errors import CodexError
from codex_tui.base.settings import Settings, WebhookSettings
from codex_tui.runs.announcements import Announcement

MAX_SECONDS = 75.0  # for all: three tries of a webhook with their waits, and the command
_PATH = re.compile(r"(?<![\w:/])(?:~|\.{1,2})?/[^\s,;:'\"()\[\]<>]+")


class NoticeSender:
    """Sends notices in threads, so that no viewer waits for a server. `complain` gets a sentence for each failure, from
    one of these threads."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._threads: list[threading.Thread] = []

    def send(self, announcement: Announcement, preferences: Settings) -> None:
        """Send `announcement` as the settings ask, unless another viewer has it."""
        if announcement.first:
            # A daemon thread: the viewer can quit before the notice is sent.
            self._threads.append(threading.Thread(target=self._send, args=(announcement, preferences), daemon=True))
            self._threads[-1].start()

    def finish(self, seconds: float) -> None:
        """Wait for the notices that are being sent, but not longer than `seconds`. Call it before the viewer quits."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _send(self, announcement: Announcement, preferences: Settings) -> None:
        for problem in send(announcement, preferences):
            self._complain(problem)


def send(announcement: Announcement, preferences: Settings) -> list[str]:
    """Send `announcement` as the settings ask. Returns a sentence for each failure, which is in the log too."""
    if not is_wanted(announcement, preferences):
        return []
    works = [_make_webhook_work(hook, announcement) for hook in preferences.webhooks]
    if preferences.notify_command:
        command, facts = preferences.notify_command, announcement.facts
        works.append(("The notify command", lambda: notify.run_command(command, facts)))
    problems = _run_all(works)
    for problem in problems:
        notice_log.append(f"{announcement.facts['run']} {announcement.event}: {problem}")
    return problems


def is_wanted(announcement: Announcement, preferences: Settings) -> bool:
    """Return whether the command and the webhooks tell the person about `announcement`."""
    if not preferences.webhooks and not preferences.notify_command:
        return False
    from codex_tui.base.settings_schema import DEFAULT_EVENTS  # which takes milliseconds to import

    return announcement.event in (DEFAULT_EVENTS if preferences.notify_events is None else preferences.notify_events)


def remove_paths(text: str) -> str:
    """Leave only the last part of each path in `text`: a program is still named, a folder of the person is not."""
    return _PATH.sub(lambda path: path[0].rstrip("/.").rpartition("/")[2], text)


def _make_webhook_work(hook: WebhookSettings, announcement: Announcement) -> tuple[str, Callable[[], str]]:
    def work() -> str:
        from codex_tui.base.webhooks import Notice, Webhook  # only a person with a webhook waits for its import

        try:
            notice = Notice(announcement.title, remove_paths(announcement.summary), announcement.is_urgent)
            Webhook.from_settings(hook).send(notice)
        except CodexError as error:
            return error.message
        return ""

    return f"The webhook {hook.name}", work


def _run_all(works: Sequence[tuple[str, Callable[[], str]]]) -> list[str]:
    """Do all `works` at once. Each returns a sentence if it failed. One that does not end in time is left behind."""
    answers: dict[int, str] = {}

    def run(place: int, work: Callable[[], str]) -> None:
        try:
            answers[place] = work()
        except Exception as error:  # noqa: BLE001  a notice never disturbs the person's work
            answers[place] = f"{works[place][0]} failed: {type(error).__name__}."

    threads = [threading.Thread(target=run, args=(at, work), daemon=True) for at, (_, work) in enumerate(works)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + MAX_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = (f"{label} took longer than {MAX_SECONDS:.0f} seconds." for label, _ in works)
    return [problem for at, text in enumerate(late) if (problem := answers.get(at, text))]
