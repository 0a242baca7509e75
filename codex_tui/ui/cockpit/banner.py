"""Says what happened to a run that did not end well: the message, what to do, and the keys that help."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from codex_tui.base.text import clean
from codex_tui.runs.watched import Leftovers, WatchedRun
from codex_tui.ui.kit.drawing import ACCENT, MUTED, line, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.runs.status import SIGNS


class Banner(Painted):
    """Hidden while there is nothing to say."""

    DEFAULT_CSS = """
    Banner { display: none; height: auto; max-height: 6; padding: 0 1; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__(id="banner")
        self._said: list[Content] = []

    def show(self, watched: WatchedRun, newer: str = "") -> None:
        """`newer` is one sentence if a newer Codex TUI wrote the run."""
        lines = explain(watched, newer)
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


def explain(watched: WatchedRun, newer: str = "") -> list[Content]:
    """The lines of the banner; none while all is well."""
    state, leftovers = watched.state, watched.leftovers
    sign, style = SIGNS.get(watched.status, ("", ""))
    said: list[Content] = []
    if watched.status == "failed" and state.failure:
        said.append(line((f"{sign} {clean(state.failure.message, newlines=True)}", f"bold {style}")))
        if state.failure.hint and not leftovers.broken:
            said.append(Content(clean(state.failure.hint, newlines=True)))
    elif watched.status == "lost":
        what, _, more = clean(watched.reason or "The trainer is gone without a word.").partition("; ")
        said.append(line((f"{sign} {what}", f"bold {style}"), (f"; {more}" if more else "", MUTED)))
        if leftovers.resume_step is not None:
            safe = f"The checkpoint at step {leftovers.resume_step:,} is safe."
            said.append(Content(safe if leftovers.resume_step else "There is no checkpoint to go on from."))
    elif watched.status == "stopped":
        stopped = f"{sign} Stopped at step {state.step:,}"
        said.append(line((stopped, f"bold {style}"), f", as asked.{_saved(leftovers)}"))
    if leftovers.broken and leftovers.broken not in (watched.reason, newer):
        said.append(Content(clean(leftovers.broken)))
    if said:
        said.append(_ways_on(leftovers))
    return [line((newer, "bold $warning")), *said] if newer else said


def _saved(leftovers: Leftovers) -> str:
    if leftovers.broken:
        return ""
    checkpoint = f" checkpoint at step {leftovers.resume_step:,}" if leftovers.resume_step else ""
    if not leftovers.has_adapter:
        return f" The{checkpoint} is saved." if checkpoint else ""
    return f" The{checkpoint} and the adapter are saved." if checkpoint else " The adapter is saved."


def _ways_on(leftovers: Leftovers) -> Content:
    saved = leftovers.resume_step
    resume = [] if saved is None else [("r", f"resume from step {saved:,}" if saved else "start it again")]
    return _keys(*resume, ("l", "log"), ("p", "profiles"))


def _keys(*pairs: tuple[str, str]) -> Content:
    parts = [line((key, f"bold {ACCENT}"), (f" {does}", MUTED)) for key, does in pairs]
    return Content("  ").join(parts)
