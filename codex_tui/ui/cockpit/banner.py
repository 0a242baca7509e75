"""The banner of a run of which no trainer works: what happened, what to do next, and the keys for it."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from codex_tui.base.progress import ProgressTracker
from codex_tui.base.text import clean
from codex_tui.runs.fetching import read_progress
from codex_tui.runs.result import describe_evaluations, describe_time
from codex_tui.runs.watched import Leftovers, WatchedRun
from codex_tui.ui.kit.drawing import ACCENT, MUTED, line, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.kit.work import draw_work
from codex_tui.ui.runs.status import SIGNS, name_park_key
from training.contract.model_card import hide_home
from training.contract.run_directory import RunDirectory


class Banner(Painted):
    """Hidden while a trainer is known to work."""

    DEFAULT_CSS = """
    Banner { display: none; height: auto; max-height: 7; padding: 0 1; background: $panel; }
    """

    def __init__(self, run: RunDirectory) -> None:
        super().__init__(id="banner")
        self._run = run
        self._paragraphs: list[Content] = []
        self._outcome: list[Content] = []

    def show(self, watched: WatchedRun, newer: str = "") -> None:
        """`newer` is one sentence if a newer Codex TUI wrote the run."""
        self._outcome = explain_outcome(self._run, watched, newer)
        self.show_fetch()

    def show_fetch(self) -> None:
        """Show how far the results have come from the machine that trained the run, while some process fetches
        them."""
        fetch = read_progress(self._run)
        lines = [draw_work(ProgressTracker(fetch), "", self.size.width), *self._outcome] if fetch else self._outcome
        if [entry.plain for entry in lines] == [entry.plain for entry in self._paragraphs]:
            return
        self._paragraphs = lines
        self.display = bool(lines)
        self.refresh(layout=True)
        self.repaint()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return sum(len(entry.wrap(width)) for entry in self._paragraphs) if width else len(self._paragraphs)

    def paint(self, width: int, height: int) -> list[Strip]:
        rows = [row for entry in self._paragraphs for row in entry.wrap(width)]
        return to_strips(self, rows, width, height)


def explain_outcome(run: RunDirectory, watched: WatchedRun, newer: str = "") -> list[Content]:
    """The lines of the banner; an empty list while a trainer works. `newer`: see `Banner.show`."""
    state, leftovers = watched.state, watched.leftovers
    sign, style = SIGNS.get(watched.status, ("", ""))
    lines: list[Content] = []
    if watched.held or watched.is_left_to_engine:
        step = watched.held.step if watched.held else state.step
        where = f" at step {step:,}" if step else ""
        title = f"{sign} {watched.status.capitalize()}{where}."
        lines.append(line((title, f"bold {style}"), f" {clean(watched.reason)}"))
        if watched.ends:
            lines.append(line((clean(watched.ends), MUTED)))
    elif watched.status == "failed" and state.failure:
        lines.append(line((f"{sign} {clean(state.failure.message, newlines=True)}", f"bold {style}")))
        if state.failure.hint and not leftovers.broken:
            lines.append(Content(clean(state.failure.hint, newlines=True)))
    elif watched.status == "lost":
        outcome, _, detail = clean(watched.reason or "The trainer ended without a message.").partition("; ")
        lines.append(line((f"{sign} {outcome}", f"bold {style}"), (f"; {detail}" if detail else "", MUTED)))
        if leftovers.resume_step is not None:
            safe = f"The checkpoint at step {leftovers.resume_step:,} is safe."
            lines.append(Content(safe if leftovers.resume_step else "There is no checkpoint to resume from."))
    elif watched.status == "stopped":
        stopped = f"{sign} Stopped at step {state.step:,}"
        lines.append(line((stopped, f"bold {style}"), f" on request.{_describe_saved(leftovers)}"))
    elif watched.status == "done":
        lines.append(line((f"{sign} {describe_time(state)}", f"bold {style}"), f" {describe_evaluations(state)}"))
        if state.reason:
            lines.append(Content(clean(state.reason)))
        if leftovers.judged:
            lines.append(line(("Judged ", MUTED), clean(leftovers.judged)))
        if leftovers.has_adapter:
            of_step = f" of step {state.adapter_step:,}" if state.adapter_step else ""
            lines.append(line((f"Adapter{of_step}: ", MUTED), clean(hide_home(str(run.adapter)))))
            if not leftovers.broken:
                lines.append(line((f"To share it: codex-tui push {clean(run.name)} OWNER/NAME", MUTED)))
    if leftovers.broken and leftovers.broken not in (watched.reason, newer):
        lines.append(Content(clean(leftovers.broken)))
    if lines:
        lines.append(_list_keys(watched))
    return [line((newer, "bold $warning")), *lines] if newer else lines


def _describe_saved(leftovers: Leftovers) -> str:
    if leftovers.broken:
        return ""
    checkpoint = f" checkpoint at step {leftovers.resume_step:,}" if leftovers.resume_step else ""
    if not leftovers.has_adapter:
        return f" The{checkpoint} is saved." if checkpoint else ""
    return f" The{checkpoint} and the adapter are saved." if checkpoint else " The adapter is saved."


def _list_keys(watched: WatchedRun) -> Content:
    step = watched.leftovers.resume_step
    if watched.held:
        pairs = [("L", does)] if (does := name_park_key(watched.status, is_held=True)) else []
        pairs += [("c", "chat")] if watched.held.step else []
        pairs += [("s", "end it"), ("l", "log")]
    elif watched.liveness == "waiting":
        pairs = [("s", "end it"), ("l", "log"), ("i", "details")]
    elif watched.liveness == "unreachable":
        pairs = [("l", "log"), ("i", "details"), ("o", "runs")]
    elif watched.status == "done":
        pairs = [("3", "answers"), ("i", "details"), ("p", "train another")]
        if watched.leftovers.has_adapter and not watched.leftovers.broken:
            pairs.insert(0, ("c", "chat"))
            pairs.insert(1, ("J", "judgement" if watched.leftovers.judged else "judge"))
            pairs.insert(2, ("E", "export"))
            pairs.insert(3, ("Y", "Python"))
    else:
        resume = [] if step is None else [("r", f"resume from step {step:,}" if step else "start over")]
        chat = [("c", "chat")] if watched.leftovers.has_adapter and not watched.leftovers.broken else []
        pairs = [*resume, *chat, ("l", "log"), ("p", "profiles")]
    parts = [line((key, f"bold {ACCENT}"), (f" {does}", MUTED)) for key, does in pairs]
    return Content("  ").join(parts)
