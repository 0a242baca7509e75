"""The queue of a card: one run has the card, the others wait in order, and a dead process loses its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.contract.card_queue import (
    FOLDER,
    VARIABLE,
    CardQueue,
    HasTicket,
    Lease,
)
from training.contract.ticket import Ticket, describe_runs_before, is_busy


@pytest.fixture
def queue(tmp_path: Path) -> CardQueue:
    return CardQueue.of_card(tmp_path, "gpu-0")


def names(queue: CardQueue) -> list[str]:
    return [f"{ticket.run} {ticket.state}" for ticket in queue.read()]


def test_the_first_run_has_the_card_and_the_others_wait_in_order(queue: CardQueue) -> None:
    assert queue.read() == [] and not queue.folders[0].exists()
    first, second, third = (queue.take(name) for name in ("a", "b", "c"))
    assert names(queue) == ["a training", "b queued", "c queued"]
    assert [ticket.run for ticket in second.look("b")] == ["a"]
    assert [ticket.run for ticket in third.look("c")] == ["a", "b"]
    first.release()
    assert [ticket.run for ticket in third.look("c")] == ["b"]  # although it looks first
    assert second.look("b") == []
    assert names(queue) == ["b training", "c queued"]
    assert [ticket.run for ticket in third.look("c")] == ["b"]


def test_a_run_that_is_started_anyway_is_waited_for(queue: CardQueue) -> None:
    first, anyway, waiting = queue.take("a"), queue.take("b", start_now=True), queue.take("c")
    assert names(queue) == ["a training", "b training", "c queued"]
    first.release()
    assert [ticket.run for ticket in waiting.look("c")] == ["b"]
    anyway.release()
    assert waiting.look("c") == []


def test_a_parked_run_gives_its_turn_up_and_takes_its_old_place_again(queue: CardQueue) -> None:
    parked, second, third = (queue.take(name) for name in ("a", "b", "c"))
    parked.give_up("a")
    assert parked.look("a") == []  # it asks for nothing
    assert second.look("b") == []
    parked.queue_again("a")
    assert names(queue) == ["a queued", "b training", "c queued"]
    assert [ticket.run for ticket in parked.look("a")] == ["b"]
    assert [ticket.run for ticket in third.look("c")] == ["b", "a"]
    second.release()
    assert [ticket.run for ticket in third.look("c")] == ["a"]
    assert parked.look("a") == []
    assert names(queue) == ["a training", "c queued"]
    parked.give_up("a")
    assert is_busy(queue.read())
    third.release()
    assert not is_busy(queue.read())
    assert names(queue) == ["a parked"]


def test_a_card_that_is_lent_to_a_person_is_not_free(queue: CardQueue) -> None:
    lent, second, third = (queue.take(name) for name in ("a", "b", "c"))
    lent.lend("a")
    third.lend("c")  # it has no card to lend
    assert names(queue) == ["a lent", "b queued", "c parked"]
    assert describe_runs_before(second.look("b"), ["gpu-0"]) == "a is parked, and its card is lent"
    second.start_anyway("b")
    lent.queue_again("a")
    assert [ticket.run for ticket in lent.look("a")] == ["b"]
    second.release()
    assert lent.look("a") == []


@pytest.mark.parametrize(
    ("run", "position", "order"),
    [("d", 1, "dbc"), ("d", 2, "bdc"), ("b", 2, "cbd"), ("b", 99, "cdb"), ("c", 0, "cbd"), ("c", 2, "bcd")],
)
def test_a_queued_run_can_be_moved(queue: CardQueue, run: str, position: int, order: str) -> None:
    leases = [queue.take(name) for name in "abcd"]
    queue.move(run, position)
    assert [ticket.run for ticket in queue.read()] == ["a", *order]
    assert len({ticket.number for ticket in queue.read()}) == 4
    leases[0].release()
    for name, lease in zip("bcd", leases[1:], strict=True):
        assert bool(lease.look(name)) == (name != order[0])


def test_only_a_queued_run_can_be_moved(queue: CardQueue) -> None:
    lease = queue.take("a")
    for name in ("a", "nobody"):
        with pytest.raises(KeyError):
            queue.move(name, 1)
    lease.release()


def test_a_run_has_one_ticket(queue: CardQueue) -> None:
    lease = queue.take("a")
    with pytest.raises(HasTicket):
        queue.take("a", start_now=True)
    assert names(queue) == ["a training"]
    lease.release()
    queue.take("a").release()


def test_the_lease_dies_with_the_last_process_that_holds_it(queue: CardQueue) -> None:
    waiting = queue.take("first")
    lease = queue.take("second")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lease.descriptor,))
    lease.close()
    try:
        assert names(queue) == ["first training", "second queued"]
    finally:
        child.kill()
        child.wait()
    assert names(queue) == ["first training"]
    assert [path.name for path in queue.folders[0].iterdir()] == ["000001-training-first"]
    waiting.release()


def test_a_process_inherits_the_ticket_that_its_parent_names(queue: CardQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = queue.take("a")
    monkeypatch.setenv(VARIABLE, str(lease.descriptor))
    os.set_inheritable(lease.descriptor, True)
    inherited = Lease.inherit()
    assert inherited is not None and inherited.queue.cards == queue.cards
    assert not os.get_inheritable(lease.descriptor)
    with Path(os.devnull).open() as other:
        for wrong in (str(other.fileno()), "999", "x", "-1"):
            monkeypatch.setenv(VARIABLE, wrong)
            assert Lease.inherit() is None
    monkeypatch.delenv(VARIABLE)
    assert Lease.inherit() is None


def test_a_renamed_run_keeps_its_place(queue: CardQueue) -> None:
    first, lease, last = (queue.take(name) for name in ("first", "old", "last"))
    lease.look("new")
    assert names(queue) == ["first training", "new queued", "last queued"]
    assert [ticket.run for ticket in last.look("last")] == ["first", "new"]
    first.release()
    assert lease.look("newer") == []
    assert names(queue) == ["newer training", "last queued"]


def test_a_cheap_look_tells_when_to_look_again(queue: CardQueue) -> None:
    first, second, third = (queue.take(name) for name in ("a", "b", "c"))
    assert not third.must_wait()  # it has not looked yet
    third.look("c")
    assert third.must_wait()
    queue.move("c", 1)
    assert not third.must_wait()
    third.look("c")
    assert third.must_wait()
    second.release()
    first.close()  # its process dies: nothing in the folder changes
    assert not third.must_wait()
    assert third.look("c") == []


def test_a_queued_run_can_be_started_anyway(queue: CardQueue) -> None:
    first, second = queue.take("a"), queue.take("b")
    second.start_anyway("b")
    assert names(queue) == ["a training", "b training"]
    assert first.look("a") == second.look("b") == []


def test_files_of_others_in_the_folder_are_left_alone(queue: CardQueue) -> None:
    lease = queue.take("a-b-c")
    for name in ("notes.txt", "000001-lost-x", "x-queued-y", "000009-queued-"):
        (queue.folders[0] / name).write_text("mine")
    (queue.folders[0] / "000005-queued-folder").mkdir()
    (queue.folders[0] / "000006-queued-gone").touch()
    (queue.folders[0] / "000007-queued-link").symlink_to("/etc/passwd")
    assert queue.read() == [Ticket(1, "training", "a-b-c", ("gpu-0",))]
    assert not (queue.folders[0] / "000006-queued-gone").exists()
    assert len(list(queue.folders[0].iterdir())) == 7
    lease.release()
    assert [one.folders[0] for one in CardQueue.list_all(queue.home.parent)] == [queue.folders[0]]


def test_a_deleted_ticket_is_reported(queue: CardQueue) -> None:
    lease = queue.take("a")
    next(queue.folders[0].iterdir()).unlink()
    with pytest.raises(FileNotFoundError, match="ticket of a"):
        lease.look("a")
    lease.release()


RACE = f"""
import os, sys, time
from pathlib import Path
from training.contract.card_queue import CardQueue
home, name, turns = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
queue = CardQueue.of_card(home, "gpu-0")
for turn in range(turns):
    run = f"{{name}}-{{turn}}"
    lease = queue.take(run)
    while lease.look(run):
        time.sleep(0.001)
    descriptor = os.open(home / "on-the-card", os.O_CREAT | os.O_EXCL)  # fails if another run has the card
    (home / "on-the-card").unlink()
    os.close(descriptor)
    lease.release()
assert {FOLDER!r} in os.listdir(home)
"""


def test_two_runs_never_have_the_card_at_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", RACE, tmp_path, name, "15"], stderr=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    for process in processes:
        assert process.communicate()[1] == ""
    assert CardQueue.of_card(tmp_path, "gpu-0").read() == []
