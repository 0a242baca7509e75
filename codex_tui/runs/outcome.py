"""How a run ended that could not say so itself, in one short sentence; and what it has left on the disk.

Texts may hold what came from a log or a path: clean them before they are shown.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from codex_tui.base.errors import BadInput
from codex_tui.runs.state import ENDED, RunState
from training.contract import checkpoints
from training.contract import events as ev
from training.contract.config import UPDATE, ConfigError, ConfigTooNew, RunConfig, describe_newer
from training.contract.files import open_file
from training.contract.process import Exit
from training.contract.run_directory import RunDirectory

JUST_NOW = 0.25
"""Seconds that the parent of a trainer that is gone has to write down how it ended."""
LATELY = 9.0
"""Seconds since its last word up to which a trainer that is gone may have gone just now."""
CRASHES = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"}
TAKING_STEPS = {"training", "cooling", "evaluating", "saving"}
FOLDER_GONE = "The run's folder is gone."


def why_lost(run: RunDirectory, state: RunState) -> tuple[str, tuple[str, ...]]:
    """One short sentence on a trainer that went without a word, and the last lines of its log."""
    if not run.path.is_dir():
        return FOLDER_GONE, ()
    lines = log_tail(run)
    if not state.attempt and not run.events.is_file() and _has_trained(run):
        return "events.jsonl is missing, so how the run ended is not known.", lines
    if how := _exit_of(run):
        return _ended(how, _where(state), asked=run.stop_requested() == "terminate"), lines
    identity = run.read_process()
    if identity and identity.boot and not identity.of_this_boot():
        return f"The machine was restarted (or WSL2 shut down) {_where(state, 'after')}.", lines
    if state.attempt and state.phase:
        return f"The trainer ended {_where(state)} without a word, and nothing saw how.", lines
    if not lines:
        return "The trainer ended before it said anything, and its log is empty.", ()
    return f"The trainer ended before it said anything; its log ends with: {lines[-1]}", lines


def _where(state: RunState, at: str = "at") -> str:
    if state.step and (state.phase is None or state.phase.name in TAKING_STEPS):
        return f"{at} step {state.step:,}"
    return f"while {state.phase.name}" if state.phase else "at its start"


def _ended(how: Exit, where: str, *, asked: bool) -> str:
    if how.for_memory:
        return f"Killed {where} by the kernel: memory had run out."
    if how.signal in CRASHES:
        return f"Crashed {where} inside a library or the driver ({how.signal})."
    if how.signal in ("SIGKILL", "SIGTERM") and asked:
        return f"Killed, as asked, {where}."
    if how.signal:
        return f"Killed {where} by {how.signal}" + ("; memory had not run out." if how.signal == "SIGKILL" else ".")
    return f"The trainer ended with exit code {how.code} {where} without a word."


def _exit_of(run: RunDirectory) -> Exit | None:
    """What the trainer's parent wrote down; where the trainer was alive a moment ago, its parent may be about to."""
    until = time.monotonic() + (JUST_NOW if time.time() - last_written(run) < LATELY else 0.0)
    while (found := run.read_exit()) is None and time.monotonic() < until:
        time.sleep(0.01)
    return found


def _has_trained(run: RunDirectory) -> bool:
    """Whether something is there that only a trainer writes, and after its first word."""
    with suppress(ConfigError):
        if RunConfig.read(run.config).actual:
            return True
    return run.has_adapter() or bool(checkpoints.found_in(run.checkpoints))


def last_written(run: RunDirectory) -> float:
    """The Unix seconds of the run's last sign of life; 0 where it has given none."""
    written = [0.0]
    for path in (run.events, run.process):
        with suppress(OSError):
            written.append(path.stat().st_mtime)
    return max(written)


def resume_step(run: RunDirectory) -> int:
    """The step from which a resume goes on: that of the last whole checkpoint, 0 where there is none."""
    found = checkpoints.last_whole(run.checkpoints, thorough=False)
    return checkpoints.step_of(found) if found else 0


def find_what_is_left(run: RunDirectory, state: RunState) -> None:
    """Puts into the `state` of an ended run what is on the disk for it: what can be gone on with, and what is wrong."""
    state.has_adapter = run.has_adapter()
    state.broken = ""
    if not run.path.is_dir():
        state.broken = FOLDER_GONE
    else:
        try:
            RunConfig.read(run.config)
        except ConfigTooNew as error:
            state.broken = f"{error.message} {error.hint}"
        except ConfigError as error:
            state.broken = f"config.json is {error.trouble}, so there is no resume and no chat; {_still_there(run)}."
    state.resume_step = None if state.broken or state.status == "done" else resume_step(run)


def why_not_resumed(status: str, broken: str) -> str:
    """Why a run of that `status` can't be resumed, "" where it can."""
    if status == "done":
        return "The run is done; there is nothing to resume."
    return broken if status in ENDED else "The run is training; there is nothing to resume."


def signs_of_what_is_left(run: RunDirectory, state: RunState) -> tuple[int, ...]:
    """What changes where something comes or goes that `find_what_is_left` looks at; it takes a few calls of stat."""
    promised = run.checkpoints / f"{checkpoints.PREFIX}{state.resume_step}"
    changed = [id(state), hash(state.status)]
    for path in (run.path, run.config, run.adapter, run.checkpoints, promised):
        try:
            changed.append(path.stat().st_mtime_ns)
        except OSError:
            changed.append(0)
    return tuple(changed)


def without_config(run: RunDirectory, error: ConfigError) -> BadInput:
    """The error to raise when a command needs config.json and reading it raised `error`."""
    if not run.path.is_dir():
        return BadInput(FOLDER_GONE, "See what there is with: codex-tui runs")
    if isinstance(error, ConfigTooNew):
        return BadInput(error.message, error.hint)
    hint = f"Begin anew from its profile: codex-tui train {run.profile}" if run.profile.is_file() else ""
    return BadInput(f"{run.config} is {error.trouble}; {_still_there(run)}.", hint)


def read_config(run: RunDirectory) -> RunConfig:
    """Read the run's config.json for a command that needs it. Raises BadInput."""
    try:
        return RunConfig.read(run.config)
    except ConfigError as error:
        raise without_config(run, error) from None


def newer_events(name: str, state: RunState) -> str:
    """One sentence if a newer Codex TUI wrote events of the run called `name`, else ""."""
    if state.version <= ev.VERSION:
        return ""
    return f"{describe_newer(name, 'events', state.version, ev.VERSION)} {UPDATE}"


def _still_there(run: RunDirectory) -> str:
    step = resume_step(run)
    there = ["the adapter"] * run.has_adapter() + [f"the checkpoint at step {step:,}"] * bool(step)
    return f"{' and '.join(there)} {'are' if there[1:] else 'is'} still there" if there else "it has left no checkpoint"


def log_tail(run: RunDirectory, lines: int = 12, window: int = 8192) -> tuple[str, ...]:
    """The last lines of trainer.log that say something."""
    try:
        with open_file(run.log) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - window))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-lines:]
