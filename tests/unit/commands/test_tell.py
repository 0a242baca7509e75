"""The command `tell`: test notices, and the notices of a run when no viewer is open."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path

import pytest
from support.fake_runs import as_json, make_run
from support.webhook_server import Answer, serve

from codex_tui.base import locations, notice_log, webhooks
from codex_tui.cli import main
from codex_tui.runs.tell_command import make_tell_command
from codex_tui.workers.process import trainer_environment
from training.contract import events as ev
from training.contract import tell
from training.contract.process import ProcessIdentity

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.commands.tell.SETTLE_SECONDS", 0.0)


def write(text: str) -> Path:
    path = locations.settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_without_anything_set_it_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tell", "--test"]) == 2
    assert "codex-tui config webhook.phone.kind ntfy" in capsys.readouterr().err
    assert main(["tell"]) == 2
    assert main(["tell", "a", "--test"]) == 2
    assert main(["tell", "a"]) == 2


def test_a_test_notice_goes_everywhere_and_says_what_each_server_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "WAITS", (0.0, 0.0))
    with serve(Answer(words=b'{"id":"1","topic":"my-topic"}')) as phone, serve(Answer(502, b"bad gateway")) as team:
        write(
            f'[webhook.phone]\nkind = "ntfy"\nurl = "{phone.url}/my-topic"\ntoken = "tk_secret1"\n'
            f'[webhook.team]\nkind = "slack"\nurl = "{team.url}/T0/B0/SECRET"\n'
            '[notify]\ncommand = ["/bin/true"]\n'
        )
        assert main(["tell", "--test"]) == 1
        printed = capsys.readouterr()
        assert "✓ phone (ntfy at 127.0.0.1:" in printed.out
        assert 'took the notice. It said 200: {"id":"1","topic":"…"}' in printed.out
        assert "✗ The webhook team (slack at 127.0.0.1:" in printed.out and "(502: bad gateway), 3 times" in printed.out
        assert "✓ The notify command ran: /bin/true" in printed.out
        assert printed.err.count("tried again in") == 2
        assert phone.requests[0].headers["Authorization"] == "Bearer tk_secret1"
        assert main(["tell", "--test", "--json"]) == 1
        answer = as_json(capsys)
        assert [(one["name"], one["ok"]) for one in answer["sent"]] == [
            ("phone", True), ("team", False), ("command", True),
        ]  # fmt: skip
        for text in (printed.out, printed.err, json.dumps(answer)):
            assert "SECRET" not in text and "my-topic" not in text and "tk_secret1" not in text


def test_a_run_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    failed = ev.Failed(kind="gpu_memory", message="No memory for /home/me/model.", step=2)
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0), failed)
    with serve() as server:
        write(f'[webhook.phone]\nkind = "ntfy"\nurl = "{server.url}/topic"\n')
        assert main(["tell", str(run.path)]) == 0
        assert capsys.readouterr().out == "Sent to phone: a failed.\n"
        assert main(["tell", "a"]) == 0
        assert capsys.readouterr().out == "There is nothing new to tell of a.\n"
        assert main(["tell", "a", "--json"]) == 0
        assert as_json(capsys) == {"ok": True, "events": [], "problems": []}
    [request] = server.requests
    assert (request.headers["Title"], request.body) == ("a failed", "The GPU ran out of memory, at step 2.")
    assert not notice_log.find_file().exists()


def test_a_run_that_trains_is_nothing_to_tell(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0), alive=True)
    with serve() as server:
        write(f'[webhook.phone]\nkind = "ntfy"\nurl = "{server.url}/topic"\n')
        assert main(["tell", "a"]) == 0
    assert server.requests == []
    assert capsys.readouterr().out == "Not sent, because notify.events leaves it out: a has started.\n"


def test_it_says_why_a_notice_was_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        make_run(name, ev.Started(attempt=1, pid=1), ev.Done(step=1))
    assert main(["tell", "a"]) == 0
    assert capsys.readouterr().out == "Not sent, because there is no notify command and no webhook: a is done.\n"
    write('[notify]\nevents = ["failed"]\ncommand = ["/bin/true"]\n')
    assert main(["tell", "b"]) == 0
    assert capsys.readouterr().out == "Not sent, because notify.events leaves it out: b is done.\n"


def test_a_notice_that_fails_is_not_said_to_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    write('[notify]\ncommand = ["/bin/false"]\n')
    assert main(["tell", "a"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and "/bin/false" in printed.err


def test_a_folder_that_is_no_run_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tell", str(tmp_path)]) == 2
    assert f"{tmp_path} is no run." in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_what_the_keeper_does_is_told_and_what_a_person_did_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*events: ev.Event, chosen: str = "") -> list[tuple[str, str]]:
        run = make_run(f"run-{next(numbers)}", ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0), *events)
        if isinstance(events[-1], ev.Held):
            run.write_keeper(ProcessIdentity.current())
        with serve() as server:
            write(f'[notify]\n{chosen}\n[webhook.phone]\nkind = "ntfy"\nurl = "{server.url}/topic"\n')
            assert main(["tell", run.name]) == 0
            return [
                (request.headers["Title"].removeprefix(f"{run.name} "), request.body) for request in server.requests
            ]

    numbers = itertools.count(1)
    uses = "/opt/blender/blender uses 2,100 MiB of the card."
    parked = ev.Held(state="parked", reason=uses, ends="It goes on when the card is free.", step=2)
    assert told(parked) == [("is parked", "blender uses 2,100 MiB of the card. It goes on when the card is free.")]
    assert told(ev.Held(state="parked", reason="asked with L", ends=ev.BY_HAND, step=2)) == []
    waiting = ev.Held(state="waiting", reason="The driver is gone.", ends="It goes on when it is back.")
    assert told(waiting) == [("is waiting", "The driver is gone. It goes on when it is back.")]
    assert told(ev.Held(state="queued", reason="The card is busy.")) == []
    every = 'events = ["queued", "stopped", "healed"]'
    assert told(ev.Held(state="queued", reason="It is busy."), chosen=every) == [("is queued", "It is busy.")]
    assert told(ev.Stopped(step=2)) == []
    assert told(ev.Stopped(step=2), chosen=every) == [("was stopped", "Stopped on request.")]
    healed = ev.Healed(
        kind="gpu_memory",
        reason="Row 7 of /data/x.jsonl.",
        step=1,
        failed_step=2,
        changes={"model.offload_layers": (0, 6)},
    )
    text = "The GPU ran out of memory, at step 2. It goes on from step 1: offload_layers 0 → 6."
    assert told(healed, ev.Started(attempt=2, pid=1, resume_step=2), ev.Done(step=2)) == [
        ("was healed", text), ("is done", "Done in 0:00. Loss 1.0000 → 1.0000, without an evaluation."),
    ]  # fmt: skip


def test_broken_settings_are_in_the_log() -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    write("[notify]\nevents = 3\n")
    assert main(["tell", "a"]) == 2
    assert "'events' is a list of some of these words" in notice_log.read_recent(time.time())[0]


def test_the_command_works_in_the_environment_of_a_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No viewer is open, and a file in the run directory has the name of a module."""
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0), ev.Done(step=2))
    (run.path / "json.py").write_text("raise SystemExit('executed')")
    with serve() as server:
        write(f'[webhook.phone]\nkind = "ntfy"\nurl = "{server.url}/topic"\n')
        command = make_tell_command()
        assert json.loads(command)[-5:] == [sys.executable, "-P", "-m", "codex_tui", "tell"]
        environ = trainer_environment() | {tell.VARIABLE: command}
        assert environ["PYTHONPATH"] != os.environ.get("PYTHONPATH")
        with monkeypatch.context() as trainer:
            for name, value in environ.items():
                trainer.setenv(name, value)
            trainer.chdir(run.path)
            tell.tell(run)
            deadline = time.monotonic() + 60
            while not server.requests:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    [request] = server.requests
    assert request.headers["Title"] == "a is done"
    assert run.announced.read_text().split()[1:] == ["done"]
