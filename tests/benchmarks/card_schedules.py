"""Tries the queue of several cards in hundreds of random schedules: `python tests/benchmarks/card_schedules.py
[--schedules 400] [--cards 3] [--runs 6] [--seed N]`.

In each schedule, processes take tickets for random cards, wait for their turn, train for some milliseconds, give the
cards up or lend them, and queue again. Meanwhile they are killed (SIGKILL) and moved at random. A run
that trains locks a file for each of its cards, so two on one card are a problem. So is a schedule that does not end: a
deadlock. Real keepers with the same rules are in `queued_runs.py --fake --cards 2`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from training.contract.card_queue import CardQueue, HasTicket, Lease  # noqa: E402

PATIENCE = 60.0  # seconds after which a schedule counts as a deadlock
PF_EXITING = 4  # of the kernel's flags of a process
TOGETHER = 3  # exit code of a process that found another one on its card


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=400)
    parser.add_argument("--cards", type=int, default=3)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    began = time.monotonic()
    for seed in range(args.seed, args.seed + args.schedules):
        with tempfile.TemporaryDirectory(prefix="codex-tui-cards-") as folder:
            schedule = Schedule(Path(folder), random.Random(seed), args.cards, args.runs)
            problem = schedule.play(args.kills)
        counts += schedule.counts
        if problem:
            counts["problems"] += 1
            print(f"seed {seed}: {problem}", flush=True)
    print(f"{args.schedules} schedules in {time.monotonic() - began:.0f} s: {dict(counts)}")
    return 1 if counts["problems"] else 0


def take_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_training(pid: bytes) -> bool:
    """Whether the process that holds a card lives. One that was killed may free its ticket a moment before the lock."""
    try:
        fields = Path(f"/proc/{int(pid)}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return False
    return fields[0] not in b"ZX" and not int(fields[6]) & PF_EXITING


class Schedule:
    def __init__(self, folder: Path, rng: random.Random, cards: int, runs: int) -> None:
        self.folder, self.rng, self.counts = folder, rng, Counter[str]()
        names = [f"gpu-{number}" for number in range(cards)]
        self.cards = {f"run-{number}": rng.sample(names, rng.randint(1, cards)) for number in range(runs)}
        self.everywhere = CardQueue(folder, names)

    def play(self, kills: int) -> str:
        """Run all processes to their end, killing and moving some. Returns what went wrong, "" if nothing did."""
        living = {self._start(run): run for run in self.cards}
        deadline = time.monotonic() + PATIENCE
        while living:
            time.sleep(self.rng.uniform(0, 0.01))
            if living and self.counts["kills"] < kills and self.rng.random() < 0.5:
                os.kill(self.rng.choice(list(living)), signal.SIGKILL)
                self.counts["kills"] += 1
            if self.rng.random() < 0.3:
                with suppress(KeyError):
                    self.everywhere.move(self.rng.choice(list(self.cards)), self.rng.randint(1, 5))
                    self.counts["moves"] += 1
            while (ended := os.waitpid(-1, os.WNOHANG) if living else (0, 0))[0]:
                run, code = living.pop(ended[0]), os.waitstatus_to_exitcode(ended[1])
                if code == -signal.SIGKILL:
                    living[self._start(run)] = run
                elif code:
                    return self._end(living, f"{run} on {self.cards[run]} ended with {code}")
                self.counts["ends"] += not code
            if time.monotonic() > deadline:
                return self._end(living, f"deadlock: {self.everywhere.read()}")
        left = [path.name for path in self.folder.rglob("0*")]
        return f"tickets are left: {left}" if self.everywhere.read() or left else ""

    def _start(self, run: str) -> int:
        """Fork a process that trains `run`, and return its pid. What was killed takes the last place, as a resume."""
        seed = self.rng.random()
        while True:
            try:
                lease = CardQueue(self.folder, self.cards[run]).take(run)
                break
            except HasTicket:  # the kernel has not freed the one of the killed process yet
                time.sleep(0.001)
        if pid := os.fork():
            lease.close()
            return pid
        code = 1
        try:
            code = self._train(lease, run, random.Random(seed))
        except BaseException:  # noqa: BLE001  nothing may go on in the copy of the main program
            traceback.print_exc()
        os._exit(code)

    def _train(self, lease: Lease, run: str, rng: random.Random) -> int:
        for _ in range(rng.randint(1, 3)):
            while lease.look(run):
                while lease.must_wait():
                    time.sleep(0.001)
            locks = []
            for card in self.cards[run]:
                locks.append(os.open(self.folder / f"on-{card}", os.O_RDWR | os.O_CREAT, 0o600))
                while not take_lock(locks[-1]):
                    if is_training(os.pread(locks[-1], 20, 0)):
                        return TOGETHER
                os.pwrite(locks[-1], b"%-20d" % os.getpid(), 0)
            time.sleep(rng.uniform(0, 0.01))
            for lock in locks:
                os.close(lock)
            (lease.lend if rng.random() < 0.3 else lease.give_up)(run)
            time.sleep(rng.uniform(0, 0.01))
            lease.queue_again(run)
        lease.release()
        return 0

    def _end(self, living: dict[int, str], problem: str) -> str:
        for pid in living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return problem


if __name__ == "__main__":
    sys.exit(main())
