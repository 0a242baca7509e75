"""What `doctor` finds out about the notices of runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from codex_tui.base import notice_log, settings
from codex_tui.base.errors import CodexError
from codex_tui.base.text import pluralize
from codex_tui.base.webhooks import Webhook
from codex_tui.commands.doctor_finding import Finding


def notice_findings() -> Iterator[Finding]:
    """Examine what tells the person of a run, and whether it failed in the last days."""
    topic = "notices"
    try:
        preferences = settings.load()
    except CodexError as error:
        yield Finding(topic, "warning", error.message, error.hint)
        return
    for hook in preferences.webhooks:
        try:
            yield Finding(topic, "ok", f"webhook {Webhook.from_settings(hook)}")
        except CodexError as error:
            yield Finding(topic, "warning", error.message, error.hint)
    if failures := notice_log.read_recent(time.time()):
        text = f"{pluralize(len(failures), 'notice')} not sent in 7 days; the last: {failures[-1]}"
        yield Finding(topic, "warning", text, "codex-tui tell --test")
    elif not preferences.webhooks:
        text = "the terminal" + (" and your notify command" if preferences.notify_command else "")
        yield Finding(
            topic, "ok", text, "" if preferences.notify_command else "README says how a webhook reaches your phone"
        )
