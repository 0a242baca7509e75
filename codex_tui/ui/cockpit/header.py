"""The run in three rows: what it is and how it stands, how far it is, and its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.strip import Strip

from codex_tui.base.text import clean, duration
from codex_tui.runs.facts import RunFacts
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, fitting, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.runs.status import ENDINGS, status_text

if TYPE_CHECKING:  # the first paint does without it
    from codex_tui.runs.state import RunState


class RunHeader(Painted):
    """Draws one `RunState`; times are the trainer's, so a stalled link shows nothing wrong."""

    DEFAULT_CSS = """
    RunHeader { height: 3; padding: 0 1; background: $surface; }
    """

    def __init__(self, facts: RunFacts, state: RunState | None = None) -> None:
        super().__init__(id="header")
        self._facts = facts
        self._state = state

    def show(self, facts: RunFacts, state: RunState) -> None:
        self._facts, self._state = facts, state
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        state = self._state
        rows = [self._title(width)]
        if state is not None:
            rows += [self._progress(width, state), self._numbers(width, state)]
        return to_strips(self, rows, width, height)

    def _title(self, width: int) -> Content:
        facts = self._facts
        status = status_text(self._state.status) if self._state else Content("")
        if self._state and self._state.silent:
            from codex_tui.runs.state import silence

            status = line(status, (f", {silence(self._state.silent)}", "bold $warning"))
        names = [line((facts.name, STRONG))]
        if facts.profile_name:
            names.append(line(("profile ", MUTED), facts.profile_name))
        if facts.model:
            names.append(line(("model ", MUTED), facts.short_model))
        return spread(fitting(names, width - status.cell_length - 2), status, width)

    def _progress(self, width: int, state: RunState) -> Content:
        done, total, label, unit = counted(state)
        if total is None:
            return line((label, MUTED), (f"  {done:,} {unit}".rstrip() if done else "", MUTED))
        figure = f"{label} {done:,} / {total:,} {unit}".rstrip() + f"  {figures.percent(done, total):3} %"
        room = max(4, width - len(figure) - 2)
        style = ENDINGS.get(state.status, ACCENT)
        return line(figures.progress(done / total if total else 0, room, style), "  ", figure)

    def _numbers(self, width: int, state: RunState) -> Content:
        from codex_tui.runs.state import elapsed, time_left

        last = state.last
        if last is None:  # that time passes shows that the trainer lives
            return _figure("elapsed", duration(elapsed(state))) if state.started_at and not state.ended else Content("")
        shown = [_figure("loss", figures.loss(last.loss) if not last.not_finite else "not a number")]
        if state.evals:
            shown.append(_figure("eval", figures.loss(state.evals[-1].eval_loss)))
        if not state.ended:
            shown.append(_figure("ETA", duration(time_left(state))))
        if last.epoch is not None:
            of = f" / {self._facts.epochs:g}" if self._facts.epochs else ""
            shown.append(_figure("epoch", f"{last.epoch:.2f}{of}"))
        shown.append(_figure("tokens/s", figures.count(last.tokens_per_second)))
        shown.append(_figure("lr", figures.rate(last.learning_rate)))
        shown.append(_figure("elapsed", duration(elapsed(state))))
        if last.grad_norm is not None:
            shown.append(_figure("grad norm", f"{last.grad_norm:.2f}"))
        shown.append(_figure("tokens", figures.count(last.tokens)))
        if state.attempt > 1:
            shown.append(_figure("attempt", str(state.attempt)))
        return fitting(shown, width)


def counted(state: RunState) -> tuple[int, int | None, str, str]:
    """What is being counted now: done, total, its label and its unit."""
    total, phase = state.total_steps, state.phase
    if not state.ended and phase is not None and phase.name != "training":
        label = clean(f"{phase.name}: {phase.detail}" if phase.detail else phase.name)
        return phase.done, phase.total or None, label, clean(phase.unit)
    if total:
        return min(state.step, total), total, "step", ""
    if state.step:
        return 0, None, f"step {state.step:,}", ""
    return 0, None, "no step was trained" if state.ended else "starting the trainer", ""


def _figure(name: str, value: str) -> Content:
    return line((f"{name} ", MUTED), (value, STRONG))
