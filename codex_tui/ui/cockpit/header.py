"""The run in three rows: its names and its status, its progress, and its numbers."""

from __future__ import annotations

from textual.content import Content
from textual.strip import Strip

from codex_tui.base.text import clean, duration
from codex_tui.runs.facts import RunFacts
from codex_tui.runs.outcome import describe_silence
from codex_tui.runs.state import compute_elapsed, estimate_time_left
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, fit_parts, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.runs.status import ENDINGS, status_text


class RunHeader(Painted):
    """The times are those of the trainer's clock, so a slow connection shows nothing wrong."""

    DEFAULT_CSS = """
    RunHeader { height: 3; padding: 0 1; background: $surface; }
    """

    def __init__(self, facts: RunFacts, watched: WatchedRun | None = None) -> None:
        super().__init__(id="header")
        self._facts = facts
        self._watched = watched

    def show(self, facts: RunFacts, watched: WatchedRun) -> None:
        self._facts, self._watched = facts, watched
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        watched = self._watched
        rows = [self._title(width)]
        if watched is not None:
            rows += [self._progress(width, watched), self._numbers(width, watched)]
        return to_strips(self, rows, width, height)

    def _title(self, width: int) -> Content:
        facts, watched = self._facts, self._watched
        status = status_text(watched.status) if watched else Content("")
        if watched and watched.silent_seconds and not watched.ended:
            status = line(status, (f", {describe_silence(watched.silent_seconds)}", "bold $warning"))
        names = [line((facts.name, STRONG))]
        if facts.profile_name:
            names.append(line(("profile ", MUTED), facts.profile_name))
        if facts.model:
            names.append(line(("model ", MUTED), facts.short_model))
        return spread(fit_parts(names, width - status.cell_length - 2), status, width)

    def _progress(self, width: int, watched: WatchedRun) -> Content:
        done, total, label, unit = count_progress(watched)
        if total is None:
            return line((label, MUTED), (f"  {done:,} {unit}".rstrip() if done else "", MUTED))
        figure = f"{label} {done:,} / {total:,} {unit}".rstrip() + f"  {figures.compute_percent(done, total):3} %"
        room = max(4, width - len(figure) - 2)
        style = ENDINGS.get(watched.status, ACCENT)
        return line(figures.draw_progress(done / total if total else 0, room, style), "  ", figure)

    def _numbers(self, width: int, watched: WatchedRun) -> Content:
        state = watched.state
        last = state.last
        if last is None:  # the clock runs, which shows that the trainer lives
            runs = state.started_at and not watched.ended
            return _figure("elapsed", duration(compute_elapsed(state))) if runs else Content("")
        shown = [_figure("loss", figures.format_loss(last.loss) if not last.not_finite else "not a number")]
        if state.evals:
            shown.append(_figure("eval", figures.format_loss(state.evals[-1].eval_loss)))
        if not watched.ended:
            shown.append(_figure("ETA", duration(estimate_time_left(state))))
        if last.epoch is not None:
            of = f" / {self._facts.epochs:g}" if self._facts.epochs else ""
            shown.append(_figure("epoch", f"{last.epoch:.2f}{of}"))
        shown.append(_figure("tokens/s", figures.format_count(last.tokens_per_second)))
        shown.append(_figure("lr", figures.format_rate(last.learning_rate)))
        shown.append(_figure("elapsed", duration(compute_elapsed(state))))
        if last.grad_norm is not None:
            shown.append(_figure("grad norm", f"{last.grad_norm:.2f}"))
        shown.append(_figure("tokens", figures.format_count(last.tokens)))
        if state.attempt > 1:
            shown.append(_figure("attempt", str(state.attempt)))
        return fit_parts(shown, width)


def count_progress(watched: WatchedRun) -> tuple[int, int | None, str, str]:
    """How far the run is in what it does now: done, total, label and unit."""
    state, phase = watched.state, watched.phase
    total = state.total_steps
    if not watched.ended and phase is not None and phase.name != "training":
        label = clean(f"{phase.name}: {phase.detail}" if phase.detail else phase.name)
        return phase.done, phase.total or None, label, clean(phase.unit)
    if total:
        return min(state.step, total), total, "step", ""
    if state.step:
        return 0, None, f"step {state.step:,}", ""
    return 0, None, "no step was trained" if watched.ended else "starting the trainer", ""


def _figure(name: str, value: str) -> Content:
    return line((f"{name} ", MUTED), (value, STRONG))
