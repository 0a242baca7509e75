"""The queue for several cards: a run has all of its cards or none, and all cards have one order."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.contract.card_queue import VARIABLE, CardQueue, Lease


def names(queue: CardQueue) -> list[str]:
    return [f"{ticket.run} {ticket.state}" for ticket in queue.read()]


def test_a_run_on_several_cards_has_all_of_them_or_none(tmp_path: Path) -> None:
    zero, one, both = (CardQueue(tmp_path, cards) for cards in (["gpu-0"], ["gpu-1"], ["gpu-1", "gpu-0"]))
    first, wide, last = zero.take("first"), both.take("wide"), one.take("last")
    assert names(zero) == ["first training", "wide queued"] and names(one) == ["wide queued", "last queued"]
    assert [(ticket.run, ticket.cards) for ticket in wide.look("wide")] == [("first", ("gpu-0",))]
    assert [(ticket.run, ticket.cards) for ticket in last.look("last")] == [("wide", ("gpu-1",))]  # its turn is later
    assert wide.must_wait()
    first.release()
    assert not wide.must_wait()
    assert wide.look("wide") == []
    assert names(zero) == ["wide training"] and names(one) == ["wide training", "last queued"]
    wide.give_up("wide")
    assert last.look("last") == []
    wide.queue_again("wide")
    assert [ticket.run for ticket in wide.look("wide")] == ["last"]
    last.release()
    assert wide.look("wide") == []
    wide.release()
    assert both.read() == [] and not [*tmp_path.rglob("0*")]


def test_runs_that_share_some_cards_never_wait_for_each_other(tmp_path: Path) -> None:
    wide, other = (CardQueue(tmp_path, cards) for cards in (["gpu-0", "gpu-1"], ["gpu-1", "gpu-2"]))
    first = CardQueue.of_card(tmp_path, "gpu-1").take("first")
    leases = {name: queue.take(name) for name, queue in (("a", wide), ("b", other), ("c", wide))}
    assert other.move("c", by=-1) == 2
    assert wide.move("c", 1) == 1
    first.release()
    order = []
    while leases:
        [name] = [name for name, lease in leases.items() if not lease.look(name)]
        order.append(name)
        leases.pop(name).release()
    assert order == ["c", "a", "b"]


def test_a_move_changes_the_order_of_no_other_runs(tmp_path: Path) -> None:
    cards = {"x": ["gpu-0"], "a": ["gpu-1"], "b": ["gpu-1", "gpu-2"], "c": ["gpu-2"], "y": ["gpu-1", "gpu-2"]}
    leases = [CardQueue(tmp_path, cards["y"]).take("first"), CardQueue(tmp_path, cards["x"]).take("second")]
    leases += [CardQueue(tmp_path, own).take(name) for name, own in cards.items()]
    everywhere = CardQueue(tmp_path, ["gpu-0", "gpu-1", "gpu-2"])
    for run, position, new, order in (
        ("a", 3, 3, "xbcya"),
        ("c", 1, 1, "xcbya"),
        ("y", 9, 4, "xcbay"),
        ("x", 5, 1, "xcbay"),
    ):
        assert everywhere.move(run, position) == new
        assert [ticket.run for ticket in everywhere.read()] == ["first", "second", *order]
    for lease in leases:
        lease.release()


def test_a_ticket_that_is_missing_on_one_card_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    both = CardQueue(tmp_path, ["gpu-0", "gpu-1"])
    lease = both.take("a")
    next(both.folders[0].iterdir()).unlink()
    with pytest.raises(FileNotFoundError, match="ticket of a"):
        lease.look("a")
    lease.release()
    assert not [*tmp_path.rglob("0*")]


def test_a_process_inherits_all_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = CardQueue(tmp_path, ["gpu-0", "gpu-1"])
    lease = both.take("a")
    monkeypatch.setenv(VARIABLE, str(lease.descriptor))
    inherited = Lease.inherit()
    assert inherited is not None and inherited.queue.cards == both.cards
    inherited.lend("a")
    assert [names(CardQueue.of_card(tmp_path, card)) for card in both.cards] == [["a lent"], ["a lent"]]
    lease.release()


def test_a_ticket_that_was_moved_on_one_card_alone_gets_one_number_again(tmp_path: Path) -> None:
    both = CardQueue(tmp_path, ["gpu-0", "gpu-1"])
    first, lease = both.take("first"), both.take("a")
    (both.folders[1] / "000002-queued-a").rename(both.folders[1] / "000007-queued-a")
    lease.look("a")
    assert [sorted(path.name for path in folder.iterdir())[1] for folder in both.folders] == ["000002-queued-a"] * 2
    first.release()
    lease.release()
