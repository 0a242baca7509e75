"""The header of a run in three rows: names and status, progress, numbers."""

from __future__ import annotations

from textual.content import Content
from textual.strip import Strip

from codex_tui.base.deadline import format_deadline
from codex_tui.base.text import clean, format_duration, pluralize
from codex_tui.runs.facts import RunFacts
from codex_tui.runs.fitted import count_epochs
from codex_tui.runs.healed import describe_all_briefly
from codex_tui.runs.loading_time import StartTimes, estimate_loading_left
from codex_tui.runs.outcome import describe_silence
from codex_tui.runs.pace import describe_late_step, estimate_tokens_per_second
from codex_tui.runs.time_left import estimate_time_left
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, fit_parts, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.runs.status import SIGNS, format_status
from training.contract.events import Resolved
from training.contract.units import round_up_length
from training.history.state import RunState, compute_elapsed

MIN_BAR = 4  # cells of the bar in a narrow terminal


class RunHeader(Painted):
    """Times come from the trainer's clock, so they are right even over a slow connection."""

    DEFAULT_CSS = """
    RunHeader { height: 3; padding: 0 1; background: $surface; }
    """

    def __init__(self, facts: RunFacts, watched: WatchedRun | None = None) -> None:
        super().__init__(id="header")
        self._facts = facts
        self._watched = watched
        self._last_start: StartTimes | None = None

    def show_last_start(self, times: StartTimes) -> None:
        """`times` are those of the last start of this model."""
        self._last_start = times
        self.repaint()

    def show(self, facts: RunFacts, watched: WatchedRun) -> None:
        self._facts, self._watched = facts, watched
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        watched = self._watched
        rows = [self._format_title(width)]
        if watched is not None:
            rows += [self._format_progress(width, watched), self._format_numbers(width, watched)]
        return to_strips(self, rows, width, height)

    def _format_title(self, width: int) -> Content:
        facts, watched = self._facts, self._watched
        status = format_status(watched.status) if watched else Content("")
        if watched and watched.silent_seconds and not watched.ended:
            status = line(
                status, (f", {clean(describe_silence(watched.silent_seconds, watched.place))}", "bold $warning")
            )
        elif watched and watched.works and (late := describe_late_step(watched.state)):
            status = line(status, (f", {late}", "bold $warning"))
        room = width - status.cell_length - 2
        name, others = line((facts.name, STRONG)), []
        if facts.profile_name:
            others.append(line(("profile ", MUTED), facts.profile_name))
        if facts.model:
            others.append(line(("model ", MUTED), facts.short_model))
        if watched and watched.place:
            others.insert(0, line(("on ", MUTED), clean(watched.place)))
        names = [name, *others]
        if watched and (resolved := watched.state.resolved) and resolved.truncated_rows:
            sentence, short = (line((text, "$warning")) for text in _describe_cut(resolved, facts.max_seq_length))
            names = [name, sentence, *others]
            if fit_parts(names, room).cell_length < sum(part.cell_length + 3 for part in names) - 3:
                names[1] = short  # so that more of the others fit
        return spread(fit_parts(names, room), status, width)

    def _format_progress(self, width: int, watched: WatchedRun) -> Content:
        done, total, label, unit = count_progress(watched)
        if total is None:
            return line((label, MUTED), (f"  {done:,} {unit}".rstrip() if done else "", MUTED))
        count = f"{label} {done:,} / {total:,} {unit}".rstrip()
        figure = f"{count}  {figures.compute_percent(done, total):3} %"
        left = estimate_loading_left(watched, self._last_start) if self._last_start else None
        if left is not None:
            time_left = f"about {format_duration(left)} left"
            figure = f"{count}  {time_left}"
            if len(figure) + 2 + MIN_BAR > width:
                figure = f"{label}  {time_left}"
        room = max(MIN_BAR, width - len(figure) - 2)
        style = ACCENT if watched.works else SIGNS[watched.status][1]
        return line(figures.draw_progress(done / total if total else 0, room, style), "  ", figure)

    def _describe_launch(self, width: int, state: RunState, *, works: bool) -> Content:
        """Before the first step: how long it takes, how long the run takes once the probe has timed it, and what was
        launched."""
        elapsed, left = (compute_elapsed(state), estimate_time_left(state)) if works else (None, None)
        times = [] if left is None else [_format_number("ETA", format_duration(left))]
        if elapsed is not None:
            times.append(_format_number("elapsed", format_duration(elapsed)))
        if left is None and self._last_start:
            times.append(_format_number("first step last time after", format_duration(self._last_start.first_step)))
        return fit_parts([*times, *_describe_rows(self._facts)], width)

    def _format_numbers(self, width: int, watched: WatchedRun) -> Content:
        state = watched.state
        last = state.last
        if last is None:  # a running clock shows that the trainer is alive
            if watched.ended or watched.held:
                return Content("")
            return self._describe_launch(width, state, works=watched.works)
        numbers = [_format_number("loss", figures.format_loss(last.loss) if not last.not_finite else "NaN/inf")]
        if state.evals:
            numbers.append(_format_number("eval", figures.format_loss(state.evals[-1].eval_loss)))
        if watched.works:
            numbers.append(_format_number("ETA", format_duration(estimate_time_left(state))))
        if state.healed:
            numbers.append(line(("healed ", MUTED), (clean(describe_all_briefly(state.healed)), "bold $warning")))
        if state.fitted and state.fitted.deadline is not None and not watched.ended:
            name = "until" if watched.works else "deadline"  # which may have passed since the last event
            numbers.append(_format_number(name, format_deadline(state.fitted.deadline, state.last_event_at)))
        if state.pass_rates:
            rate = state.pass_rates[-1]
            numbers.append(_format_number("passes", f"{rate.passes} / {rate.questions}"))
        if last.epoch is not None:
            epochs = count_epochs(state)
            total = f" / {epochs:.2f}" if epochs else f" / {self._facts.epochs:g}" if self._facts.epochs else ""
            numbers.append(_format_number("epoch", f"{last.epoch:.2f}{total}"))
        numbers.append(_format_number("tokens/s", figures.format_count(estimate_tokens_per_second(state))))
        numbers.append(_format_number("lr", figures.format_rate(last.learning_rate)))
        numbers.append(_format_number("elapsed", format_duration(compute_elapsed(state))))
        if last.grad_norm is not None:
            numbers.append(_format_number("grad norm", f"{last.grad_norm:.2f}"))
        numbers.append(_format_number("tokens", figures.format_count(last.tokens)))
        if state.attempt > 1:
            numbers.append(_format_number("attempt", str(state.attempt)))
        return fit_parts(numbers, width)


def _describe_cut(resolved: Resolved, limit: int | None) -> tuple[str, str]:
    """How many rows are cut, and the length that cuts none: as a sentence, and in short."""
    cut, rows = resolved.truncated_rows, pluralize(resolved.train_rows + resolved.eval_rows, "row")
    remedy = f"; {round_up_length(resolved.longest_row):,} cuts none" if resolved.longest_row else ""
    at = f" at {limit:,} tokens" if limit else ""
    return f"{cut:,} of {rows} {'is' if cut == 1 else 'are'} cut{at}{remedy}", f"{cut:,} of {rows} cut{remedy}"


def _describe_rows(facts: RunFacts) -> list[Content]:
    """What was launched, beside the names in the title."""
    length = f"{facts.max_seq_length:,}" if facts.max_seq_length else ""
    dataset = facts.dataset.rstrip("/").rpartition("/")[2]
    pairs = (("dataset", dataset), ("max_seq_length", length), ("epochs", f"{facts.epochs:g}" if facts.epochs else ""))
    return [_format_number(name, value) for name, value in pairs if value]


def count_progress(watched: WatchedRun) -> tuple[int, int | None, str, str]:
    """The progress of the run's current phase: done, total (None if unknown), label and unit."""
    state, phase = watched.state, watched.phase
    total = state.total_steps
    if phase is not None and phase.name != "training":
        label = clean(f"{phase.name}: {phase.detail}" if phase.detail else phase.name)
        return phase.done, phase.total or None, label, clean(phase.unit)
    if total:
        return min(state.step, total), total, "step", ""
    if state.step:
        return 0, None, f"step {state.step:,}", ""
    return 0, None, "starting the trainer" if watched.works else "no step trained", ""


def _format_number(name: str, value: str) -> Content:
    return line((f"{name} ", MUTED), (value, STRONG))
