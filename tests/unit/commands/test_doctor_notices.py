"""What doctor says about webhooks: each one, what it lacks, and the notices that could not be sent."""

from __future__ import annotations

import pytest

from codex_tui.base import locations, notice_log
from codex_tui.commands.doctor_notices import notice_findings

pytestmark = pytest.mark.usefixtures("empty_home")


def test_without_a_webhook_it_says_what_tells_the_person() -> None:
    [finding] = notice_findings()
    assert (finding.state, finding.found) == ("ok", "the terminal")
    assert "README" in finding.advice


def test_each_webhook_and_the_last_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE", "https://ntfy.sh/my-topic")
    path = locations.settings_file()
    path.parent.mkdir(parents=True)
    path.write_text(
        '[webhook.phone]\nkind = "ntfy"\nurl_env = "PHONE"\n[webhook.team]\nkind = "slack"\nurl_env = "NO_TEAM"\n'
    )
    notice_log.append("a failed: The webhook phone (ntfy at ntfy.sh) refused the notice (403).")
    notice_log.append("b done: The webhook phone (ntfy at ntfy.sh) refused the notice (404).")
    phone, team, failures = notice_findings()
    assert (phone.state, phone.found) == ("ok", "webhook phone (ntfy at ntfy.sh)")
    assert (team.state, team.found) == ("warning", "The environment variable NO_TEAM is empty.")
    assert failures.state == "warning" and failures.advice == "codex-tui tell --test"
    assert failures.found.startswith("2 notices not sent in 7 days; the last: ") and "(404)" in failures.found


def test_settings_that_cant_be_read_are_a_finding() -> None:
    path = locations.settings_file()
    path.parent.mkdir(parents=True)
    path.write_text("[webhook.phone]\nkind = 3\n")
    [finding] = notice_findings()
    assert finding.state == "warning" and '\'kind\' is "ntfy" or "slack"' in finding.found
