"""The keeper lets the app tell the person of each change, while no viewer is open."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.config_file import write_config
from support.kept_runs import until
from support.programs import PROGRAMS
from support.webhook_server import Answer, serve

from codex_tui.base import locations, notice_log
from codex_tui.runs.follower import snapshot
from codex_tui.runs.tell_command import make_tell_command
from training.contract import tell
from training.contract.control import Request
from training.contract.run_directory import RunDirectory


@pytest.mark.usefixtures("empty_home")
def test_a_webhook_gets_each_change_and_a_broken_one_disturbs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    write_config(run, {"version": 1, "profile": {}, "dataset": "demo:zombie_waves"})
    monkeypatch.setenv(tell.VARIABLE, make_tell_command())
    with serve() as phone, serve(Answer(403)) as broken:
        settings = locations.settings_file()
        settings.parent.mkdir(parents=True)
        settings.write_text(
            '[notify]\nevents = ["resumed", "stopped", "parked"]\n'
            f'[webhook.phone]\nkind = "ntfy"\nurl = "{phone.url}/topic"\n'
            f'[webhook.broken]\nkind = "slack"\nurl = "{broken.url}/hook"\n'
        )
        settings.chmod(0o600)
        with subprocess.Popen([sys.executable, PROGRAMS / "parking_trainer.py", run.path]) as keeper:
            until(lambda: snapshot(run).status == "training")
            run.request_stop("park", "Asked with L.")
            until(lambda: snapshot(run).status == "parked")
            run.write_request(Request("resume"))
            until(lambda: len(phone.requests) == 1)
            run.request_stop("save")
            assert keeper.wait() == 0
        until(lambda: len(phone.requests) == 2 and len(broken.requests) == 2)
    assert [request.headers["Title"] for request in phone.requests] == ["run has resumed", "run was stopped"]
    until(lambda: len(notice_log.read_recent(time.time())) == 2)  # and not a line more
