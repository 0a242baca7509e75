"""A chat borrows the card of a run: the keeper parks it, and resumes it when the chat is over, however it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.kept_runs import keep, make_run, until
from support.programs import PROGRAMS

from codex_tui.runs.follower import snapshot
from training.contract.card_queue import CardQueue
from training.contract.control import Request
from training.contract.loan import Loan, borrow, give_back, list_loans
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "run")


@pytest.fixture
def keeper(run: RunDirectory) -> Iterator[subprocess.Popen[bytes]]:
    with keep(run, sys.executable, PROGRAMS / "parking_trainer.py", run.path) as process:
        until(lambda: snapshot(run).status == "training")
        yield process


def park_for(run: RunDirectory, borrower: ProcessIdentity) -> None:
    """Let another process borrow the card, as a chat does."""
    run.loans.mkdir(exist_ok=True)
    (run.loans / "chat.json").write_bytes(msgspec.json.encode(Loan(borrower, "A chat uses the card.", "It is left.")))


def test_the_run_is_parked_for_the_time_of_a_loan(run: RunDirectory, keeper: subprocess.Popen[bytes]) -> None:
    name = borrow(run, "A chat uses the card.", "It resumes when the chat is left.")
    until(lambda: (held := snapshot(run).held) and held.ends == "It resumes when the chat is left.")
    held = snapshot(run).held
    assert held and held.reason == "A chat uses the card."
    assert run.events.read_text().count('"held"') == 1  # the trainer said it itself, and never that L ends it
    assert not run.is_trainer_alive()
    [queue] = CardQueue.list_all(run.path.parent)
    # No queued run takes the card from the chat. The trainer writes its last event before the keeper sees its end.
    until(lambda: [ticket.state for ticket in queue.read()] == ["lent"])
    give_back(run, name)
    assert not run.loans.exists()
    until(lambda: snapshot(run).status == "training")
    assert snapshot(run).state.resume_step == held.step


def test_a_chat_that_is_killed_leaves_no_run_parked(run: RunDirectory, keeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["sleep", "1000"]) as chat:
        identity = ProcessIdentity.from_pid(chat.pid)
        assert identity
        park_for(run, identity)
        until(lambda: snapshot(run).status == "parked")
        chat.kill()
    until(lambda: snapshot(run).status == "training")
    assert not run.loans.exists()


def test_a_chat_of_another_machine_has_the_card_as_long_as_it_touches_its_loan(
    run: RunDirectory, keeper: subprocess.Popen[bytes]
) -> None:
    park_for(run, ProcessIdentity(1, 1.0, boot="another", host="another"))
    until(lambda: snapshot(run).status == "parked")
    os.utime(run.loans / "chat.json", (1.0, 1.0))
    until(lambda: snapshot(run).status == "training")
    assert not run.loans.exists()


def test_a_person_who_resumes_the_run_ends_the_loan(run: RunDirectory, keeper: subprocess.Popen[bytes]) -> None:
    borrow(run, "A chat uses the card.", "It resumes when the chat is left.")
    until(lambda: snapshot(run).status == "parked")
    run.write_request(Request("resume"))
    until(lambda: snapshot(run).status == "training")
    step = snapshot(run).state.step
    until(lambda: snapshot(run).state.step > step + 150)  # the watcher has looked again meanwhile
    assert snapshot(run).status == "training"
    borrow(run, "Another chat uses the card.", "It is left.")
    until(lambda: (held := snapshot(run).held) and held.reason == "Another chat uses the card.")


def test_a_loan_of_a_link_or_a_damaged_file_counts_for_nothing(run: RunDirectory, tmp_path: Path) -> None:
    assert list_loans(run) == {}
    name = borrow(run, "A chat uses the card.", "")
    (run.loans / "damaged.json").write_text("[" * 100_000)
    assert list(list_loans(run)) == [name]
    park_for(run, ProcessIdentity(os.getpid(), 1.0))
    assert list(list_loans(run)) == [name]
    run.loans.rename(tmp_path / "elsewhere")
    run.loans.symlink_to(tmp_path / "elsewhere")
    assert list_loans(run) == {}
