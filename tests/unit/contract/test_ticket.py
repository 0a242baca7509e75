"""The ticket of a run: its file's name, and the sentence about those before it."""

from __future__ import annotations

import pytest

from training.contract.ticket import Ticket, TicketState, describe_cards, describe_runs_before


@pytest.mark.parametrize(
    ("states", "card", "sentence"),
    [
        (["training"], "gpu-0", "a trains on this card"),
        (["training", "training", "queued"], "gpu-1", "a and b train on this card; c is before this one"),
        (["training", "queued", "queued"], "cpu", "a trains on the CPU; 2 runs are before this one"),
        (["queued"], "gpu-0", "a is before this one"),
        (["parked"], "gpu-0", ""),
    ],
)
def test_the_sentence_that_says_why_a_run_waits(states: list[TicketState], card: str, sentence: str) -> None:
    tickets = [Ticket(number, state, "abc"[number]) for number, state in enumerate(states)]
    assert describe_runs_before(tickets, [card]) == sentence


def test_the_sentence_names_the_cards_where_there_are_several() -> None:
    wide = ("gpu-0", "gpu-1")
    tickets = [Ticket(1, "training", "a", ("gpu-0",)), Ticket(2, "training", "b", wide), Ticket(3, "queued", "c", wide)]
    assert describe_runs_before(tickets, wide) == "a trains on GPU 0; b trains on GPU 0 and 1; c is before this one"
    assert describe_cards(["gpu-0", "gpu-1", "gpu-2"]) == "GPU 0, 1 and 2"
    assert [describe_cards([card]) for card in ("cpu", "gpu-1", "MIG-4")] == ["the CPU", "GPU 1", "MIG-4"]
