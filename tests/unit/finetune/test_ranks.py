"""What the ranks of a run do one after another."""

from __future__ import annotations

import threading

import pytest

from training.finetune.ranks import Ranks


def test_rank_0_comes_first_then_one_of_each_node_and_then_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """So rows are tokenised once on each node, and once for all nodes that share their cache."""
    barrier = threading.Barrier(6)
    monkeypatch.setattr(Ranks, "barrier", lambda self: barrier.wait(60))
    running: list[int] = []
    seen: dict[int, set[int]] = {}

    def work(number: int) -> None:
        ranks = Ranks(number, count=6, local=number % 3, node=number // 3, nodes=2)
        with ranks.main_first():
            seen[number] = {*running}
            running.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen[0] == set()
    assert seen[3] == {0}
    assert all(seen[number] >= {0, 3} for number in (1, 2, 4, 5))


def test_one_process_waits_for_nobody() -> None:
    with Ranks().main_first():
        pass
