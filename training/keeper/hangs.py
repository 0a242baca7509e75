"""Finds a trainer that hangs: no step ends, its heartbeat goes on, and the card does nothing, as CUDA does at times.

Loading, evaluations, saving, samples and pauses are no hang, nor are the first steps, whose time nobody knows. A laptop
that slept is none either: only the time counts in which the keeper looked.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from training.contract.config import RunConfig, get_table
from training.contract.files import open_file
from training.contract.run_directory import RunDirectory
from training.keeper.surroundings import Surroundings
from training.keeper.watchers import Moment, Restart
from training.memory.visible_gpu import read_devices

LOOK_SECONDS = 15.0
TIMES_USUAL = 10  # a hang takes at least this many times the usual step
MIN_SECONDS = 300.0  # a hang takes at least this long
IDLE_LOOKS = 4  # a late step is a hang if so many looks in a row see an idle card
ALIVE_SECONDS = 20.0  # a trainer without a heartbeat for so long is stopped; one comes every five seconds
MIN_STEPS = 5  # the usual time is known after so many steps of the attempt
RECENT_LOOKS = 40  # the usual time is the median of the steps of so many looks
MAX_CARD_PERCENT = 5  # an idle card may be used by the desktop up to this percentage
MAX_CPU_SHARE = 0.05  # an idle process uses at most this share of one core, for its heartbeat
READ_BYTES = 1 << 20  # one look reads at most this many of the newest bytes of events.jsonl


class Progress(NamedTuple):
    """What a trainer has written since the last look: its last phase ("" if it began none), its last step (None if it
    wrote none), and whether it gave a sign of life."""

    phase: str = ""
    step: int | None = None
    lives: bool = False


class HangWatcher:
    """A watcher of the keeper (see `watchers.py`). `read_load` returns the utilisation of the card in percent, None if
    nobody tells it; `read_cpu` the seconds that a process has used of the CPU."""

    _looked_at: float | None  # None: not in this attempt
    _tail: EventsTail
    _has_warned: bool  # whether the log says that the trainer may hang

    def __init__(
        self,
        config: RunConfig,
        read_load: Callable[[], float | None] | None = None,
        read_cpu: Callable[[int], float | None] | None = None,
    ) -> None:
        self.seconds = LOOK_SECONDS
        self._ignores = get_table(config.profile, "keeper").get("on_hang") == "ignore"
        self._surroundings = Surroundings(*read_devices(config.profile))
        self._read_load = read_load or self._ask_card
        self._read_cpu = read_cpu or read_cpu_seconds
        self._begin(0)

    def look(self, moment: Moment) -> Restart | None:
        if moment.trainer is None:
            self._begin(0)
            return None
        if moment.attempt != self._attempt:
            self._begin(moment.attempt)
        # A machine that slept, or a keeper that was stopped, saw nothing of the time in between.
        seconds = 0.0 if self._looked_at is None else min(moment.now - self._looked_at, 2 * self.seconds)
        self._looked_at = moment.now
        self._follow(self._tail.read(moment.run), seconds)
        if not self._is_late:
            self._close()
            return None
        if not self._is_idle(moment.trainer, seconds):
            self._idle_looks = 0
            return None
        self._idle_looks += 1
        if self._idle_looks < IDLE_LOOKS:
            return None
        answer = Restart(self._describe())
        self._close()
        if not self._ignores:
            return answer
        if not self._has_warned:
            print(f"{answer.reason} It may hang (keeper.on_hang).", file=sys.stderr, flush=True)  # noqa: T201
        self._has_warned = True
        return None

    def _begin(self, attempt: int) -> None:
        self._attempt = attempt
        self._looked_at = None
        self._tail = EventsTail()
        self._phase, self._step = "", 0
        self._has_warned = False
        self._without_step = self._without_sign = 0.0  # seconds since the last step, and since the last sign of life
        self._steps = 0  # that ended in this attempt while the keeper looked
        self._step_seconds: deque[float] = deque(maxlen=RECENT_LOOKS)
        self._close()

    def _close(self) -> None:
        """Forget what a late step looked like, and let the card sleep."""
        self._idle_looks = 0
        self._cpu_before: float | None = None
        self._idle_thing = ""
        self._surroundings.close_cards()

    def _follow(self, progress: Progress, seconds: float) -> None:
        """Count what the trainer has written in the last `seconds`."""
        self._without_sign = 0.0 if progress.lives else self._without_sign + seconds
        self._without_step += seconds
        self._phase = progress.phase or self._phase
        step = self._step if progress.step is None else progress.step
        done, self._step = step - self._step, step
        if progress.phase or self._phase != "training":  # a part of the time was no step
            self._without_step = 0.0
        elif done > 0:
            self._steps += done
            self._step_seconds.append(self._without_step / done)
            self._without_step = 0.0

    @property
    def _is_late(self) -> bool:
        if self._phase != "training" or self._steps < MIN_STEPS or self._without_sign > ALIVE_SECONDS:
            return False
        return self._without_step >= max(MIN_SECONDS, TIMES_USUAL * _find_median(self._step_seconds))

    def _is_idle(self, pid: int, seconds: float) -> bool:
        """Whether nothing happened since the last look: on the card, or in the process if the card does not tell."""
        load = self._read_load()
        if load is not None:
            self._idle_thing = "card"
            return load <= MAX_CARD_PERCENT
        self._idle_thing = "process"
        before, self._cpu_before = self._cpu_before, self._read_cpu(pid)
        if before is None or self._cpu_before is None:
            return False
        return self._cpu_before - before <= MAX_CPU_SHARE * seconds

    def _ask_card(self) -> float | None:
        """Read how busy the run's card is. Of several, the least busy one counts: while one hangs, the others wait for
        it with all their power."""
        if not self._surroundings.has_card:
            return None
        loads = [card.utilisation for card in self._surroundings.read_cards() if card.utilisation is not None]
        return min(loads, default=None)

    def _describe(self) -> str:
        usual = format_seconds(_find_median(self._step_seconds))
        return (
            f"No step for {format_seconds(self._without_step)} where {usual} is usual; the {self._idle_thing} was idle."
        )


class EventsTail:
    """Reads what was appended to events.jsonl since the last call, as far as a hang is concerned."""

    def __init__(self) -> None:
        self._offset: int | None = None  # None: begin with the end of the file
        self._events = msgspec.json.Decoder(_Sign)

    def read(self, run: RunDirectory) -> Progress:
        try:
            with open_file(run.events) as file:
                size = file.seek(0, os.SEEK_END)
                if self._offset is None or self._offset > size:
                    self._offset = max(0, size - READ_BYTES)
                file.seek(max(self._offset, size - READ_BYTES))
                data = file.read()
        except OSError:
            return Progress()
        end = data.rfind(b"\n") + 1
        self._offset = size - len(data) + end
        data = data[:end]
        phase, beat = self._find_last(data, b"phase"), self._find_last(data, b"heartbeat")
        return Progress(phase.name if phase else "", beat.step if beat else None, lives=end > 0)

    def _find_last(self, data: bytes, kind: bytes) -> _Sign | None:
        start = data.rfind(b'{"type":"%s"' % kind)
        if start < 0:
            return None
        try:
            return self._events.decode(data[start : data.index(b"\n", start)])
        except ValueError:
            return None


class _Sign(msgspec.Struct):
    """The fields of a phase or a heartbeat. Heartbeats of earlier trainers have no step."""

    name: str = ""
    step: int | None = None


def read_cpu_seconds(pid: int) -> float | None:
    """Read how many seconds of the CPU a process and its children have used; None if it is gone. The trainer of several
    cards does nothing itself, its children train."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return None
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(read_cpu_seconds(int(child)) or 0.0 for child in children)


def format_seconds(seconds: float) -> str:
    """Format as "0.3 s", "4 s", "12 min" or "2 h"."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _find_median(seconds: Sequence[float]) -> float:
    """Find the median. The module `statistics` would do it too, but takes 2 MB of the keeper's memory."""
    ordered = sorted(seconds)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
