"""Notices: which of them the person gets, and that a webhook which fails disturbs nothing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from support.fake_runs import make_run
from support.webhook_server import Answer, serve

from codex_tui.base import notice_log, webhooks
from codex_tui.base.settings import Settings, WebhookSettings
from codex_tui.runs import notices
from codex_tui.runs.announcements import Announcement, find_untold
from codex_tui.runs.follower import snapshot
from training.contract import events as ev

pytestmark = pytest.mark.usefixtures("empty_home")
MESSAGE = "/home/me/rows.jsonl has 1 bad row: line 3: {'secret': 'row'}."


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "WAITS", (0.0, 0.0))


def announce(event: ev.Event) -> Announcement:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0), event)
    [announcement] = find_untold(run, snapshot(run))
    return announcement


def hook(monkeypatch: pytest.MonkeyPatch, url: str, name: str = "phone") -> WebhookSettings:
    monkeypatch.setenv(f"HOOK_{name}", f"{url}/topic")
    return WebhookSettings(name, "slack", url_env=f"HOOK_{name}")


def test_a_webhook_gets_no_path_and_no_row_and_the_command_gets_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = announce(ev.Failed(kind="bad_data", message=MESSAGE))
    written = tmp_path / "written"
    command = (sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", str(written), "{message}")
    with serve() as server:
        assert notices.send(failed, Settings(notify_command=command, webhooks=(hook(monkeypatch, server.url),))) == []
    [request] = server.requests
    assert json.loads(request.body)["text"] == "*a failed*\nThe dataset can't be used, at step 2."
    assert written.read_text() == MESSAGE
    assert not notice_log.find_file().exists()


def test_only_the_chosen_events_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    done = announce(ev.Done(step=2))
    with serve() as server:
        webhook = hook(monkeypatch, server.url)
        assert notices.send(done, Settings(notify_events=("failed", "lost"), webhooks=(webhook,))) == []
        assert notices.send(done, Settings(notify_events=(), webhooks=(webhook,))) == []
        assert server.requests == []
        assert notices.send(done, Settings(webhooks=(webhook,))) == []
        assert len(server.requests) == 1


def test_each_failure_is_one_line_of_the_log_and_the_others_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    done = announce(ev.Done(step=2))
    with serve() as good, serve(Answer(500)) as busy, serve(Answer(404)) as gone:
        hooks = [hook(monkeypatch, s.url, n) for s, n in ((busy, "busy"), (good, "good"), (gone, "gone"))]
        hooks.append(WebhookSettings("unset", "ntfy", url_env="NOT_SET"))
        problems = notices.send(done, Settings(webhooks=tuple(hooks)))
        assert (len(good.requests), len(busy.requests), len(gone.requests)) == (1, 3, 1)
    assert len(problems) == 3
    lines = notice_log.read_recent(time.time())
    assert [line[20:] for line in lines] == [f"a done: {problem}" for problem in problems]
    assert "busy (slack at 127.0.0.1" in lines[0] and "(500: ok), 3 times" in lines[0]
    assert "refused the notice (404: ok)" in lines[1]
    assert "NOT_SET is empty" in lines[2]
    assert "topic" not in "".join(lines)
    assert notice_log.read_recent(time.time() + 8 * 86400) == []


def test_a_notice_that_takes_too_long_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "MAX_SECONDS", 0.2)
    done = announce(ev.Done(step=2))
    with serve(Answer(hangs=True)) as server:
        problems = notices.send(done, Settings(webhooks=(hook(monkeypatch, server.url),)))
    assert problems == ["The webhook phone took longer than 0 seconds."]


def test_the_log_stays_small() -> None:
    for number in range(2_000):
        notice_log.append(f"{number} " + "x" * 60)
    lines = notice_log.read_recent(time.time())
    assert notice_log.find_file().stat().st_size <= notice_log.MAX_BYTES + 100
    assert lines[-1].split()[2] == "1999"
    assert len(lines) >= notice_log.KEPT_LINES


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/usr/bin/blender uses 2,100 MiB", "blender uses 2,100 MiB"),
        ("It is at ~/runs/a (and ./b/c).", "It is at a (and c)."),
        ("Step 3/9, 5 tokens/s, 23:00-07:00", "Step 3/9, 5 tokens/s, 23:00-07:00"),
    ],
)
def test_paths_are_shortened_to_their_last_part(text: str, left: str) -> None:
    assert notices.remove_paths(text) == left


def test_a_viewer_does_not_wait_for_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    done = announce(ev.Done(step=2))
    complaints: list[str] = []
    with serve(Answer(hangs=True)) as server:
        asked = Settings(webhooks=(hook(monkeypatch, server.url),))
        sender = notices.NoticeSender(complaints.append)
        sender.send(done, asked)
        sender.finish(0.0)
        assert complaints == []
        while not server.requests:
            time.sleep(0.01)
    sender.finish(60.0)  # the server is gone: the connection breaks, and no other answers
    assert len(complaints) == 1 and "can't be reached" in complaints[0]
