"""Says what happened to a run that did not end well, what to do, and the keys for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from codex_tui.base.text import clean
from codex_tui.ui.kit.drawing import ACCENT, MUTED, line, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.runs.status import SIGNS

if TYPE_CHECKING:  # the first paint does without it
    from codex_tui.runs.state import RunState


class Banner(Painted):
    """Hidden while there is nothing to say."""

    DEFAULT_CSS = """
    Banner { display: none; height: auto; max-height: 6; padding: 0 1; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__(id="banner")
        self._said: list[Content] = []

    def show(self, state: RunState, newer: str = "") -> None:
        """`newer` is one sentence if a newer Codex TUI wrote the run."""
        lines = explain(state, newer)
        if [entry.plain for entry in lines] == [entry.plain for entry in self._said]:
            return
        self._said = lines
        self.display = bool(lines)
        self.refresh(layout=True)
        self.repaint()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return sum(len(entry.wrap(width)) for entry in self._said) if width else len(self._said)

    def paint(self, width: int, height: int) -> list[Strip]:
        rows = [row for entry in self._said for row in entry.wrap(width)]
        return to_strips(self, rows, width, height)


def explain(state: RunState, newer: str = "") -> list[Content]:
    """The banner's lines; none while all is well."""
    sign, style = SIGNS.get(state.status, ("", ""))
    said: list[Content] = []
    if state.status == "failed" and state.failure:
        said.append(line((f"{sign} {clean(state.failure.message, newlines=True)}", f"bold {style}")))
        if state.failure.hint and not state.broken:
            said.append(Content(clean(state.failure.hint, newlines=True)))
    elif state.status == "lost":
        what, _, more = clean(state.reason or "The trainer is gone without a word.").partition("; ")
        said.append(line((f"{sign} {what}", f"bold {style}"), (f"; {more}" if more else "", MUTED)))
        if state.resume_step is not None:
            safe = f"The checkpoint at step {state.resume_step:,} is safe."
            said.append(Content(safe if state.resume_step else "There is no checkpoint to go on from."))
    elif state.status == "stopped":
        said.append(line((f"{sign} Stopped at step {state.step:,}", f"bold {style}"), f", as asked.{_saved(state)}"))
    if state.broken and state.broken not in (state.reason, newer):
        said.append(Content(clean(state.broken)))
    if said:
        said.append(_ways_on(state))
    return [line((newer, "bold $warning")), *said] if newer else said


def _saved(state: RunState) -> str:
    if state.broken:
        return ""
    checkpoint = f" checkpoint at step {state.resume_step:,}" if state.resume_step else ""
    if not state.has_adapter:
        return f" The{checkpoint} is saved." if checkpoint else ""
    return f" The{checkpoint} and the adapter are saved." if checkpoint else " The adapter is saved."


def _ways_on(state: RunState) -> Content:
    saved = state.resume_step
    resume = [] if saved is None else [("r", f"resume from step {saved:,}" if saved else "start it again")]
    return _keys(*resume, ("l", "log"), ("p", "profiles"))


def _keys(*pairs: tuple[str, str]) -> Content:
    parts = [line((key, f"bold {ACCENT}"), (f" {does}", MUTED)) for key, does in pairs]
    return Content("  ").join(parts)
