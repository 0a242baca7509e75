"""What happened to a run that did not end well, calmly: the message, what to do, and the keys to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from codex_tui.core.text import clean
from codex_tui.widgets.ink import ACCENT, MUTED, line, to_strips
from codex_tui.widgets.painted import Painted
from codex_tui.widgets.run_header import SIGNS

if TYPE_CHECKING:  # the first paint does without it
    from codex_tui.core.run_state import RunState


class Banner(Painted):
    """Hidden while there is nothing to say."""

    DEFAULT_CSS = """
    Banner { display: none; height: auto; max-height: 6; padding: 0 1; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__(id="banner")
        self._said: list[Content] = []

    def show(self, state: RunState) -> None:
        lines = explain(state)
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


def explain(state: RunState) -> list[Content]:
    """What there is to say about `state`: nothing while all is well."""
    sign, style = SIGNS.get(state.status, ("", ""))
    saved = state.resume_step
    keys = _keys(("r", f"resume from step {saved:,}" if saved else "start it again"), ("l", "log"))
    if state.status == "failed" and state.failure:
        hint = clean(state.failure.hint, newlines=True)
        said = [line((f"{sign} {clean(state.failure.message, newlines=True)}", f"bold {style}"))]
        return [*said, *([Content(hint)] if hint else []), keys]
    if state.status == "lost":
        what, _, more = clean(state.reason or "The trainer is gone without a word.").partition("; ")
        safe = f"The checkpoint at step {saved:,} is safe." if saved else "There is no whole checkpoint."
        return [
            line((f"{sign} {what}", f"bold {style}"), (f"; {more}" if more else "", MUTED)),
            Content(safe),
            keys,
        ]
    if state.status == "stopped":
        return [
            line((f"{sign} Stopped at step {state.step:,}", f"bold {style}"), ", as asked."
                 + (" The checkpoint and the adapter are saved." if saved else "")),
            keys,
        ]  # fmt: skip
    return []


def _keys(*pairs: tuple[str, str]) -> Content:
    parts = [line((key, f"bold {ACCENT}"), (f" {does}", MUTED)) for key, does in pairs]
    return Content("  ").join(parts)
