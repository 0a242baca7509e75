"""Explains in one short sentence how a lost run ended, and finds the checkpoints and adapter of an ended run.

The texts may contain lines of a log or a path: clean them before they are shown.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from codex_tui.base.errors import BadInput
from codex_tui.runs.engine_reason import describe_loss
from codex_tui.runs.judged import summarise_judgements
from codex_tui.runs.watched import ENDED, HELD, Leftovers, WatchedRun
from training.contract import checkpoints
from training.contract import events as ev
from training.contract.config import UPDATE, ConfigError, ConfigTooNew, RunConfig, describe_newer
from training.contract.files import open_file
from training.contract.process import Exit
from training.contract.run_directory import RunDirectory
from training.contract.secrets import redact_secrets
from training.history.state import RunState

EXIT_WAIT_SECONDS = 0.25
"""How long to wait for exit.json, which the parent of a dead trainer writes."""
RECENT_SECONDS = 9.0
"""If the trainer wrote within this time, it may have just died, so exit.json may still come."""
CRASHES = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"}
STEP_PHASES = {"training", "answering", "cooling", "evaluating", "saving"}
FOLDER_GONE = "The run's folder is gone."


def explain_lost(run: RunDirectory, state: RunState, *, no_event: bool = False) -> tuple[str, tuple[str, ...]]:
    """Explain how a lost run ended. Returns one short sentence and the last lines of trainer.log.

    `no_event`: the newest attempt wrote no event, so `state` belongs to an older attempt.
    """
    if not run.path.is_dir():
        return FOLDER_GONE, ()
    lines = read_log_tail(run)
    if record := run.read_engine():
        return describe_loss(record, _describe_place(state, None if no_event else state.phase)), lines
    identity = run.read_process() or run.read_keeper()
    if identity and identity.may_live_elsewhere and (state.held or not _read_exit(run)):
        return f"This is a copy; its original was {_describe_place(state, state.phase)}.", lines
    if state.held and not no_event:
        where = f"{state.held.state} at step {state.held.step:,}" if state.held.step else state.held.state
        keeper = run.read_keeper()
        if keeper and keeper.is_elsewhere():
            return f"It was {where} on {keeper.host}, which has given no sign for a while.", lines
        if keeper and keeper.boot and not keeper.is_of_this_boot():
            return f"The machine was restarted (or WSL2 shut down) while the run was {where}.", lines
        return f"It was {where}, and its keeper is gone.", lines
    if not state.attempt and not run.events.is_file() and _has_trained(run):
        return "events.jsonl is missing, so it is not known how the run ended.", lines
    phase = None if no_event else state.phase
    if exit_ := _read_exit(run):
        return _explain_exit(
            exit_, _describe_place(state, phase), on_request=run.read_stop_request() == "terminate"
        ), lines
    if identity and identity.is_elsewhere():
        place = _describe_place(state, phase, "after")
        return f"{identity.host}, on which it trained, has given no sign for a while, {place}.", lines
    if identity and identity.boot and not identity.is_of_this_boot():
        return f"The machine was restarted (or WSL2 shut down) {_describe_place(state, phase, 'after')}.", lines
    if state.attempt and phase:
        return f"The trainer ended {_describe_place(state, phase)} without a message; the cause is unknown.", lines
    if not lines:
        return "The trainer ended at startup; its log is empty.", ()
    return f"The trainer ended at startup; its log ends with: {lines[-1]}", lines


def _describe_place(state: RunState, phase: ev.Phase | None, preposition: str = "at") -> str:
    if state.step and (phase is None or phase.name in STEP_PHASES):
        return f"{preposition} step {state.step:,}"
    return f"while {phase.name}" if phase else "at startup"


def _explain_exit(exit_: Exit, place: str, *, on_request: bool) -> str:
    if exit_.for_memory:
        return f"Killed {place} by the kernel: memory had run out."
    if exit_.signal in CRASHES:
        return f"Crashed {place} inside a library or the driver ({exit_.signal})."
    if exit_.signal in ("SIGKILL", "SIGTERM") and on_request:
        return f"Killed on request {place}."
    if exit_.signal:
        return f"Killed {place} by {exit_.signal}" + ("; memory had not run out." if exit_.signal == "SIGKILL" else ".")
    return f"The trainer ended with exit code {exit_.code} {place} without a message."


def _read_exit(run: RunDirectory) -> Exit | None:
    """Read exit.json. If the trainer was alive a moment ago, wait briefly for its parent to write it."""
    is_recent = time.time() - find_last_write(run) < RECENT_SECONDS
    deadline = time.monotonic() + (EXIT_WAIT_SECONDS if is_recent else 0.0)
    while (exit_ := run.read_exit()) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return exit_


def _has_trained(run: RunDirectory) -> bool:
    """Whether the run has a file that a trainer writes only after its first event."""
    with suppress(ConfigError):
        if RunConfig.read(run.config).actual:
            return True
    return run.has_adapter() or bool(checkpoints.list_checkpoints(run.checkpoints))


def find_last_write(run: RunDirectory) -> float:
    """Find the time at which the trainer last wrote, in Unix seconds. Returns 0 if it never wrote."""
    times = [0.0]
    for path in (run.events, run.process):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def find_resume_step(run: RunDirectory) -> int:
    """Find the step that a resume continues from: the step of the last whole checkpoint, 0 if there is none."""
    checkpoint = checkpoints.find_last_whole(run.checkpoints, thorough=False)
    return checkpoints.parse_step(checkpoint) if checkpoint else 0


def find_leftovers(run: RunDirectory, watched: WatchedRun) -> Leftovers:
    """Find the checkpoint and the adapter of the ended run `watched`. If it is a mirror, its checkpoints are on its
    remote, and its events name them."""
    broken = ""
    if not run.path.is_dir():
        broken = FOLDER_GONE
    else:
        try:
            RunConfig.read(run.config)
        except ConfigTooNew as error:
            broken = f"{error.message} {error.hint}"
        except ConfigError as error:
            broken = f"config.json is {error.trouble}, so resume and chat are not possible; {_list_saved(run)}."
    if broken or watched.status == "done":
        step = None
    elif run.is_mirror():
        step = find_last_checkpoint(watched.state)
    else:
        step = find_resume_step(run)
    judged = next((one.summary for one in summarise_judgements(run)), "")
    return Leftovers(step, run.has_adapter(), broken, judged)


def find_last_checkpoint(state: RunState) -> int:
    """Return the step of the last checkpoint in the events; 0 for none."""
    return state.checkpoints[-1].step if state.checkpoints else 0


def stat_leftovers(run: RunDirectory, leftovers: Leftovers) -> tuple[int, ...]:
    """Return file times. While they stay the same, so does the result of `find_leftovers`. Costs six stat calls."""
    last_checkpoint = run.checkpoints / f"{checkpoints.PREFIX}{leftovers.resume_step}"
    times = []
    for path in (run.path, run.config, run.adapter, run.checkpoints, last_checkpoint, run.judgements):
        try:
            times.append(path.stat().st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)


def explain_no_resume(status: str, broken: str) -> str:
    """Explain why a run with this `status` can't be resumed. Returns "" if it can, or if only its engine knows that."""
    if status == "done":
        return "The run is done; there is nothing to resume."
    if status == "unreachable":
        return ""
    return broken if status in ENDED | HELD else "The run is training; there is nothing to resume."


def describe_resume(step: int) -> str:
    """Describe from where a resume continues. `step` is that of the last whole checkpoint, 0 for none."""
    return f"Resume continues from step {step:,}." if step else "No checkpoint: resume starts from step 0."


def describe_silence(seconds: int, place: str) -> str:
    """Return a text such as "silent for 2 min, process is alive", or "" for 0 seconds. `place` is the other machine
    that has the run, "" for this one."""
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"silent for {seconds // size} {unit}" + (f" on {place}" if place else ", process is alive")
    return ""


def explain_config_error(run: RunDirectory, error: ConfigError) -> BadInput:
    """Return the error to raise when a command needs config.json and reading it raised `error`."""
    if not run.path.is_dir():
        return BadInput(FOLDER_GONE, "List the runs: codex-tui runs")
    if isinstance(error, ConfigTooNew):
        return BadInput(error.message, error.hint)
    hint = f"Start over from its profile: codex-tui train {run.profile}" if run.profile.is_file() else ""
    return BadInput(f"{run.config} is {error.trouble}; {_list_saved(run)}.", hint)


def read_config(run: RunDirectory) -> RunConfig:
    """Read config.json for a command that needs it. Raises BadInput if it can't be read."""
    try:
        return RunConfig.read(run.config)
    except ConfigError as error:
        raise explain_config_error(run, error) from None


def describe_newer_events(name: str, state: RunState) -> str:
    """Return one sentence if a newer Codex TUI wrote events of the run named `name`, else ""."""
    if state.version <= ev.VERSION:
        return ""
    return f"{describe_newer(name, 'events', state.version, ev.VERSION)} {UPDATE}"


def _list_saved(run: RunDirectory) -> str:
    step = find_resume_step(run)
    saved = ["the adapter"] * run.has_adapter() + [f"the checkpoint at step {step:,}"] * bool(step)
    return f"{' and '.join(saved)} {'are' if saved[1:] else 'is'} still there" if saved else "there is no checkpoint"


def read_log_tail(run: RunDirectory, lines: int = 12, window: int = 8192) -> tuple[str, ...]:
    """Read the last `lines` lines of trainer.log that are not blank, from its last `window` bytes. Redact secrets."""
    try:
        with open_file(run.log) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - window))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(redact_secrets(line.rstrip()) for line in text.splitlines() if line.strip())[-lines:]
