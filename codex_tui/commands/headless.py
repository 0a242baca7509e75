"""Prints a run as plain lines: for a log, a pipe, or a person without a screen."""

from __future__ import annotations

import math
import sys
import time

from codex_tui.base import notify, settings
from codex_tui.base.errors import DETACHED, DONE, FAILED, BadInput, CodexError
from codex_tui.base.text import clean, format_duration, pluralize, shorten
from codex_tui.commands.results import fetch_results
from codex_tui.engines.watch import watching
from codex_tui.runs import notices
from codex_tui.runs.announcements import Announcement, Announcer
from codex_tui.runs.changed_settings import describe_change
from codex_tui.runs.facts import read_facts, suggest_chat
from codex_tui.runs.fitted import describe_fit
from codex_tui.runs.follower import RunFollower
from codex_tui.runs.healed import describe_heal
from codex_tui.runs.outcome import describe_newer_events, describe_silence
from codex_tui.runs.pass_rates import describe_passes
from codex_tui.runs.result import describe_evaluations
from codex_tui.runs.time_left import estimate_time_left
from codex_tui.runs.watched import WatchedRun
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history.state import RunState, compute_elapsed

LOOK_EVERY = 0.2
LONGEST_ANSWER = 160
MIN_FIT_CHANGE = 0.02  # of the planned steps, for another line


def follow(run: RunDirectory) -> int:
    """Print the history and each new event until the run ends. Returns DONE only if the run is done.

    Ctrl-C ends the printing; the run goes on.
    """
    name = clean(run.name)
    newer = read_facts(run).newer
    print(f"{name}: {clean(run.path)}", *filter(None, [newer]), sep="\n", flush=True)
    sender = notices.NoticeSender(_complain)
    try:
        with watching(run):
            watched = _print_until_end(run, newer, sender)
        fetch_results(run)
    except KeyboardInterrupt:
        print(f"\nDetached. {name} continues. Come back with: codex-tui attach {name}", flush=True)
        return DETACHED
    code = _print_end(run, watched, newer)
    sender.finish(notify.COMMAND_SECONDS)
    return code


def _print_end(run: RunDirectory, watched: WatchedRun, newer: str) -> int:
    """Print what the run has left, and what to type next. Returns the exit code."""
    name = clean(run.name)
    if watched.status == "done":
        if evaluations := describe_evaluations(watched.state):
            print(evaluations, flush=True)
        if run.has_adapter():
            print(f"Adapter: {clean(run.adapter)}", flush=True)
        if not newer:
            print(suggest_chat(run), flush=True)
        return DONE
    leftovers = watched.leftovers
    if leftovers.broken:
        if clean(leftovers.broken) != newer:  # which is printed above
            print(clean(leftovers.broken), flush=True)
    elif leftovers.resume_step:
        print(f"Resume from the last checkpoint, step {leftovers.resume_step}: codex-tui resume {name}", flush=True)
    else:
        print(f"Start it again: codex-tui resume {name}", flush=True)
    return FAILED


def _print_until_end(run: RunDirectory, newer: str, sender: notices.NoticeSender) -> WatchedRun:
    """`newer` is what was printed about a newer version of config.json."""
    follower = RunFollower(run, on_event=_EventPrinter(clean(run.name), newer), check_every=0.0)
    announcer = Announcer(run)
    printed_silence, printed_wait = 0, ""
    while True:
        follower.poll(math.inf)
        watched = follower.watched
        announcement = announcer.find_new(watched)
        if watched.liveness == "lost":
            if not run.path.exists():
                hint = "List the runs: codex-tui runs"
                raise CodexError(f"{run.path} was deleted while it was watched.", hint)
            log_tail = (f"  {clean(line)}" for line in watched.log_tail)
            print(clean(f"lost: {watched.reason}"), *log_tail, sep="\n", flush=True)
        if announcement:
            _announce(announcement, sender)
        if watched.liveness in ("ended", "lost"):
            return watched
        if (wait := _describe_wait(watched)) != printed_wait:
            printed_wait = wait
            print(wait or f"running  {clean(watched.place)}", flush=True)
        silent = watched.silent_seconds
        if not silent:
            printed_silence = 0
        elif silent >= 2 * printed_silence:  # 30 s, 1 min, 2 min, 4 min
            printed_silence = silent
            print(clean(describe_silence(silent, watched.place)), flush=True)
        time.sleep(LOOK_EVERY)


def _describe_wait(watched: WatchedRun) -> str:
    """The line for a run that its engine has not begun, or whose engine does not answer; "" for others."""
    if not watched.is_left_to_engine:
        return ""
    return clean(f"{watched.liveness}  {watched.reason} {watched.ends}")


def _announce(announcement: Announcement, sender: notices.NoticeSender) -> None:
    """Ring the terminal, if there is one, and send the notices that the settings ask for."""
    try:
        preferences = settings.load()
    except BadInput as error:
        _complain(str(error))
        return
    if preferences.notify_terminal and sys.stdout.isatty():
        print(notify.format_notification(announcement.title, announcement.message), end="", flush=True)
    sender.send(announcement, preferences)


def _complain(problem: str) -> None:
    print(f"! {problem}", file=sys.stderr, flush=True)


class _EventPrinter:
    """Prints the line of each event. It remembers the last phase, because most events of a phase have no line."""

    def __init__(self, name: str, newer: str) -> None:
        self._name = name
        self._newer = newer  # the sentence about a newer version, once it is printed
        self._phase: ev.Phase | None = None
        self._fitted_steps = 0  # of the last printed fit

    def __call__(self, event: ev.Event, state: RunState) -> None:
        if not self._newer and (newer := describe_newer_events(self._name, state)):
            self._newer = newer
            print(newer, flush=True)
        if isinstance(event, ev.Fitted) and not self._is_new_fit(event):
            return
        if line := describe(event, state, self._phase):
            print(line, flush=True)
        self._phase = state.phase

    def _is_new_fit(self, event: ev.Fitted) -> bool:
        """Whether the fit differs from the last printed one by more than what each line of metrics shows anyway."""
        is_new = abs(event.total_steps - self._fitted_steps) > MIN_FIT_CHANGE * event.planned_steps
        if is_new:
            self._fitted_steps = event.total_steps
        return is_new


def describe(event: ev.Event, state: RunState, phase_before: ev.Phase | None) -> str | None:
    """The line for `event`, or None if it gets none."""
    match event:
        case ev.Started() if event.attempt > 1:
            return f"attempt {event.attempt}, from step {event.resume_step}"
        case ev.Phase() if phase_before is None or _stage(event) != _stage(phase_before):
            return _phase(event, state)
        case ev.Resolved():
            return "\n".join(_resolved(event))
        case ev.Fitted():
            return f"fitted  {describe_fit(event, event.time)}"
        case ev.Probe() if event.peak_reserved_mib is not None:
            return _probe(event)
        case ev.Metrics():
            return _metrics(event, state)
        case ev.Eval():
            return f"eval  step {event.step}  eval_loss {_number(event.eval_loss)}"
        case ev.PassRate():
            return f"passes  step {event.step}  {describe_passes(event)}"
        case ev.Sample():
            cut = f" (cut at {pluralize(event.cut_at, 'token')})" if event.cut_at else ""
            at = f"step {event.step}" if event.step else "base model"
            return clean(f"sample  {at}  {event.prompt} → {shorten(event.text, LONGEST_ANSWER)}{cut}")
        case ev.Checkpoint():
            return clean(f"checkpoint  step {event.step}  {event.path}")
        case ev.Warned():
            return clean(f"warning  {event.message}")
        case ev.Stopping():
            return f"stopping  step {event.step}"
        case ev.Stopped():
            return f"stopped  step {event.step}"
        case ev.Held():
            at = f"step {event.step}  " if event.step else ""
            return clean(f"{event.state}  {at}{event.reason} {event.ends}").rstrip()
        case ev.Done():
            done = f"done  {pluralize(event.step, 'step')}  {format_duration(compute_elapsed(state))}"
            return f"{done}\n{clean(event.reason)}" if event.reason else done
        case ev.Healed():
            return clean(f"healed  step {event.failed_step}  {describe_heal(event)}")
        case ev.Failed():
            hint = f"\n  {clean(event.hint)}" if event.hint else ""
            return f"failed: {clean(event.message)}{hint}"
    return None


def _stage(phase: ev.Phase) -> tuple[str, str, int]:
    """A new line is printed when this changes: the phase, its part, or the tenths that are done."""
    return phase.name, phase.detail, 10 * phase.done // phase.total if phase.total else 0


def _phase(phase: ev.Phase, state: RunState) -> str:
    parts = [phase.name, phase.detail]
    if phase.name == "training" and state.step == state.resume_step:  # the lines of its steps have it later
        parts += _list_time_left(state)
    if phase.total and phase.name != "training":  # its steps have lines of their own
        parts.append(f"{phase.done:,}/{phase.total:,} {phase.unit}")
    return clean("  ".join(part for part in parts if part))


def _probe(event: ev.Probe) -> str:
    taken = (event.peak_reserved_mib or 0) + (event.context_mib or 0)
    parts = [f"probe  {event.rows} x {event.tokens:,} tokens need {taken:,.0f} MiB of GPU memory"]
    if event.limit_mib:
        parts.append(f"limit {event.limit_mib:,.0f} MiB")
    if event.forecast_mib:
        parts.append(f"forecast {event.forecast_mib:,.0f} MiB")
    return ", ".join(parts)


def _metrics(event: ev.Metrics, state: RunState) -> str:
    total = f"/{state.total_steps}" if state.total_steps else ""
    parts = [f"step {event.step}{total}", f"loss {_number(event.loss)}"]
    if event.learning_rate is not None:
        parts.append(f"lr {event.learning_rate:.2e}")
    if event.tokens_per_second is not None:
        parts.append(f"{event.tokens_per_second:,.0f} tokens/s")
    return "  ".join([*parts, *_list_time_left(state)])


def _list_time_left(state: RunState) -> list[str]:
    left = estimate_time_left(state)
    return [] if left is None else [f"ETA {format_duration(left)}"]


def _resolved(event: ev.Resolved) -> list[str]:
    noun = "row" if event.train_rows == 1 else "rows"
    several = f" in {event.train_sequences:,} sequences" if event.train_sequences > event.train_rows else ""
    rows = f"{event.train_rows:,} training {noun}{several}, {event.eval_rows:,} for evaluation"
    rows = f"{rows}, {event.truncated_rows:,} cut short"
    lines = [f"{rows}, {event.dropped_rows:,} skipped; {event.total_steps:,} steps on {event.device}"]
    lines += [f"  {describe_change(field, *change)}" for field, change in event.changed.items()]
    return [clean(line) for line in lines]


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
