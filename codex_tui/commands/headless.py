"""A run as plain lines on stdout, for a log, a pipe or a person without a screen."""

from __future__ import annotations

import time

from codex_tui.base.errors import DONE, FAILED, CodexError
from codex_tui.base.text import clean, counted, duration, shorten
from codex_tui.runs.facts import read_facts
from codex_tui.runs.follower import last_word, may_live, rounded
from codex_tui.runs.outcome import find_what_is_left, newer_events, why_lost
from codex_tui.runs.state import RunState, reduce, silence, time_left
from codex_tui.runs.tailer import Tailer
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

LOOK_EVERY = 0.2
DETACHED = 130
LONGEST_ANSWER = 160


def follow(run: RunDirectory) -> int:
    """Prints the history and then what comes, until the run ends. DONE only if it is done; Ctrl-C leaves it running."""
    name = clean(run.name)
    newer = read_facts(run).newer
    print(f"{name}: {clean(run.path)}", *filter(None, [newer]), sep="\n", flush=True)
    try:
        state = _print_until_end(run, newer)
    except KeyboardInterrupt:
        print(f"\nDetached; {name} goes on. Come back with: codex-tui attach {name}", flush=True)
        return DETACHED
    if state.status == "done":
        if not newer:
            print(f"Chat with it: codex-tui chat {name}", flush=True)
        return DONE
    find_what_is_left(run, state)
    if state.broken:
        if clean(state.broken) != newer:  # which is printed above
            print(clean(state.broken), flush=True)
    elif state.resume_step:
        print(f"Go on from the last checkpoint, step {state.resume_step}: codex-tui resume {name}", flush=True)
    else:
        print(f"Start it again: codex-tui resume {name}", flush=True)
    return FAILED


def _print_until_end(run: RunDirectory, newer: str) -> RunState:
    """`newer` is what was printed about a newer version of config.json."""
    tailer, state = Tailer(run.events), RunState()
    heard, told, first = last_word(run), 0, True
    while True:
        gone = not may_live(run)  # asked before reading, so that a last word is never missed
        for piece in tailer.slices():
            if piece.restarted:
                state = RunState()
            if piece.events and not first:
                heard, told = time.monotonic(), 0
            for event in piece.events:
                before = state.phase
                state = reduce(state, event)
                if not newer and (newer := newer_events(clean(run.name), state)):
                    print(newer, flush=True)
                if line := describe(event, state, before):
                    print(line, flush=True)
        if gone and state.ended:  # while a trainer lives, an old end is only where a resume goes on from
            return state
        if gone and not run.path.exists():
            raise CodexError(f"{run.path} was deleted while it was watched.", "See what there is with: codex-tui runs")
        if gone:
            state.status = "lost"
            reason, log = why_lost(run, state)
            print(clean(f"lost: {reason}"), *(f"  {clean(line)}" for line in log), sep="\n", flush=True)
            return state
        first = False
        if (silent := rounded(time.monotonic() - heard)) >= max(1, 2 * told):  # 30 s, 1 min, 2 min, 4 min
            told = silent
            print(silence(silent), flush=True)
        time.sleep(LOOK_EVERY)


def describe(event: ev.Event, state: RunState, phase_before: ev.Phase | None) -> str | None:
    """`event` as one line, or None where it is not worth one."""
    match event:
        case ev.Started() if event.attempt > 1:
            return f"attempt {event.attempt}, from step {event.resume_step}"
        case ev.Phase() if phase_before is None or _stage(event) != _stage(phase_before):
            return _phase(event)
        case ev.Resolved():
            return "\n".join(_resolved(event))
        case ev.Probe() if event.peak_reserved_mib is not None:
            return _probe(event)
        case ev.Metrics():
            return _metrics(event, state)
        case ev.Eval():
            return f"eval  step {event.step}  eval_loss {_number(event.eval_loss)}"
        case ev.Sample():
            return clean(f"sample  step {event.step}  {event.prompt} → {shorten(event.text, LONGEST_ANSWER)}")
        case ev.Checkpoint():
            return clean(f"checkpoint  step {event.step}  {event.path}")
        case ev.Warned():
            return clean(f"warning  {event.message}")
        case ev.Stopping():
            return f"stopping  step {event.step}"
        case ev.Stopped():
            return f"stopped  step {event.step}"
        case ev.Done():
            return f"done  {counted(event.step, 'step')}  {duration(event.seconds)}"
        case ev.Failed():
            hint = f"\n  {clean(event.hint)}" if event.hint else ""
            return f"failed: {clean(event.message)}{hint}"
    return None


def _stage(phase: ev.Phase) -> tuple[str, str, int]:
    """What a line is worth: another phase, another part of it, or a further tenth done."""
    return phase.name, phase.detail, 10 * phase.done // phase.total if phase.total else 0


def _phase(phase: ev.Phase) -> str:
    parts = [phase.name, phase.detail]
    if phase.total and phase.name != "training":  # whose steps have lines of their own
        parts.append(f"{phase.done:,}/{phase.total:,} {phase.unit}")
    return clean("  ".join(part for part in parts if part))


def _probe(event: ev.Probe) -> str:
    taken = (event.peak_reserved_mib or 0) + (event.context_mib or 0)
    parts = [f"probe  {event.rows} x {event.tokens:,} tokens take {taken:,.0f} MiB of the card"]
    if event.limit_mib:
        parts.append(f"{event.limit_mib:,.0f} MiB at most")
    if event.forecast_mib:
        parts.append(f"{event.forecast_mib:,.0f} MiB were forecast")
    return ", ".join(parts)


def _metrics(event: ev.Metrics, state: RunState) -> str:
    total = f"/{state.total_steps}" if state.total_steps else ""
    parts = [f"step {event.step}{total}", f"loss {_number(event.loss)}"]
    if event.learning_rate is not None:
        parts.append(f"lr {event.learning_rate:.2e}")
    if event.tokens_per_second is not None:
        parts.append(f"{event.tokens_per_second:,.0f} tokens/s")
    if (left := time_left(state)) is not None:
        parts.append(f"ETA {duration(left)}")
    return "  ".join(parts)


def _resolved(event: ev.Resolved) -> list[str]:
    lines = [
        f"{counted(event.train_rows, 'row')} to train on, {event.eval_rows:,} held out, {event.dropped_rows:,} dropped,"
        f" {event.truncated_rows:,} cut; {event.total_steps:,} steps on {event.device}"
    ]
    for field, (asked, ran, why) in event.changed.items():
        lines.append(f"  {field}: {asked} was asked, {ran} runs{f' ({why})' if why else ''}")
    return [clean(line) for line in lines]


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
