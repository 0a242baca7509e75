"""Heals a run after an attempt that found no GPU memory, lost the driver, or hung, so that the next one can go on.

The profile stays as the person chose it: what changes is in config.json under `healed`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from training.contract import events as ev
from training.contract.config import ConfigError, RunConfig, get_table
from training.contract.run_directory import RunDirectory
from training.keeper.decisions import AttemptEnd, find_saved_step
from training.keeper.hangs import EventsTail

COMMAND = (sys.executable, "-m", "training", "heal")
"""Chooses a remedy. It is a process of its own, because a forecast needs pydantic; see `heal.py`."""
DECIDE_SECONDS = 300.0  # the choice of a remedy has failed after this time; it takes about a second
HANGS_AGAIN = "Restart the machine, or Windows' part of it with wsl --shutdown. Then resume the run."


class HealRules(msgspec.Struct, frozen=True):
    """The fields of the profile's table [keeper] that say what to do after a failure."""

    on_gpu_memory: Literal["heal", "fail"] = "heal"
    max_heals: int = 3
    on_hang: Literal["resume", "ignore"] = "resume"

    @classmethod
    def read(cls, config: RunConfig) -> HealRules:
        try:
            return msgspec.convert(get_table(config.profile, "keeper"), cls)
        except ValueError:  # someone has edited the file
            return cls()


@dataclass
class Healer:
    """Heals one run. It counts its tries in a row to continue without a change: those without a step in between."""

    rules: HealRules
    command: Sequence[str] = COMMAND
    _tries: int = 0
    _failed_after: int = -1  # the last step before the last of them

    def can_heal(self, end: AttemptEnd) -> bool:
        """Whether it is worth a try to heal the run after an attempt that ended so."""
        match end.event:
            case ev.Failed(kind="driver_lost"):
                return self.rules.max_heals > 0
            case ev.Failed(memory=memory):
                return self.rules.on_gpu_memory == "heal" and self.rules.max_heals > 0 and memory is not None
        return end.restart is not None

    def heal(self, run: RunDirectory, end: AttemptEnd) -> ev.Healed | ev.Failed:
        """Prepare the next attempt. Returns the event that says how, or the failure of the run if it can't be."""
        match end.event:
            case ev.Failed(kind="driver_lost") as failure:
                return self._try_again(run, "driver", failure)
            case ev.Failed() as failure:
                return self._heal_memory(run, failure)
        reason = end.restart.reason if end.restart else ""
        return self._try_again(run, "hang", ev.Failed(kind="unknown", message=reason, hint=HANGS_AGAIN))

    def _heal_memory(self, run: RunDirectory, failure: ev.Failed) -> ev.Healed | ev.Failed:
        """Choose a remedy, and write it to config.json for the next attempt."""
        event = self._choose_remedy(run) or failure
        if isinstance(event, ev.Healed):
            try:
                config = RunConfig.read(run.config)
                config.healed |= {field: value for field, (_, value) in event.changes.items()}
                config.write(run.config)
            except (ConfigError, OSError, UnicodeEncodeError) as error:
                return msgspec.structs.replace(failure, hint=f"config.json can't be changed: {error}.")
        return event

    def _try_again(
        self, run: RunDirectory, kind: Literal["hang", "driver"], failure: ev.Failed
    ) -> ev.Healed | ev.Failed:
        """Let the run continue without a change, unless that was tried too often without a further step."""
        last_step = max(EventsTail().read(run).step or 0, failure.step)
        self._tries = 1 if last_step > self._failed_after else self._tries + 1
        self._failed_after = last_step
        if self._tries > self.rules.max_heals:
            fault = "It hung" if kind == "hang" else "That happened"
            again = f" {fault} {self._tries} times in a row after step {last_step:,}." if self._tries > 1 else ""
            return msgspec.structs.replace(failure, message=f"{failure.message}{again}", step=last_step)
        return ev.Healed(kind=kind, reason=failure.message, step=find_saved_step(run), failed_step=last_step + 1)

    def _choose_remedy(self, run: RunDirectory) -> ev.Healed | ev.Failed | None:
        import subprocess  # here, because few keepers need it

        try:
            process = subprocess.run(
                [*self.command, str(run.path)], stdout=subprocess.PIPE, timeout=DECIDE_SECONDS, check=False
            )
            return _decoder.decode(process.stdout) if process.stdout else None
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            print(f"No remedy was chosen: {error}", file=sys.stderr, flush=True)  # noqa: T201
            return None


_decoder = msgspec.json.Decoder(ev.Healed | ev.Failed)
