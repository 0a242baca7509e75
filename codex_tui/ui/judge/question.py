"""One question of a judgement in full, with both answers. The arrows step through the questions of the list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen

from codex_tui.base.text import clean
from codex_tui.ui.judge.copying import copy_question
from codex_tui.ui.judge.question_text import Checks, draw_heading, draw_question
from codex_tui.ui.kit.clipboard import copy_answer
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.hints import ALWAYS, TYPING, Hint, HintBar
from codex_tui.ui.kit.search_field import SearchField
from codex_tui.ui.kit.text_search import SearchableText
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors
from training.contract.judgement import JudgedQuestion, Judgement


class QuestionScreen(ReportsWorkerErrors, Screen[int]):
    """Returns the place of the question that was shown last."""

    DEFAULT_CSS = """
    QuestionScreen > Vertical { border: round $primary; padding: 0 1; height: 1fr; }
    QuestionScreen Heading { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Previous question"),
        Binding("right", "step(1)", "Next question"),
        Binding("y", "copy", "Copy the adapter's answer"),
        Binding("Y", "copy_all", "Copy the question with both answers"),
        Binding("slash", "search", "Search the question"),
        Binding("n", "find(1)", "Next match", show=False),
        Binding("N", "find(-1)", "Previous match", show=False),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, judgement: Judgement, questions: Sequence[JudgedQuestion], place: int, needle: str) -> None:
        super().__init__()
        self._judgement, self._questions, self._place, self._needle = judgement, questions, place, needle
        self._checks: dict[int, Checks] = {}  # by place

    def compose(self) -> ComposeResult:
        yield TitleBar("Question", clean(self._judgement.run))
        with Vertical():
            yield Heading()
            text = SearchableText()
            yield text
            yield SearchField(text, "Search the question", self._show_hints)
        yield HintBar()

    def on_mount(self) -> None:
        self.text.focus()
        self.text.needle = self._needle
        self._show()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    @property
    def text(self) -> SearchableText:
        return self.query_one(SearchableText)

    @property
    def _search(self) -> SearchField:
        return self.query_one(SearchField)

    @property
    def _judged(self) -> JudgedQuestion:
        return self._questions[self._place]

    def _show(self) -> None:
        """Show the question at the place. Its regular expressions are tried in a thread, because some take long."""
        self._draw()
        if self._judged.question.has_marks and self._place not in self._checks:
            start_worker(self, partial(self._check, self._place), group="check", exclusive=True)

    async def _check(self, place: int) -> None:
        from training.dataset.marks import check_conditions

        judged = self._questions[place]
        texts = (judged.other.answer.text, judged.adapter.answer.text)
        other, adapter = await asyncio.to_thread(lambda: [check_conditions(judged.question, text) for text in texts])
        self._checks[place] = (other, adapter)
        if self.is_attached and place == self._place:
            self._draw()

    def _draw(self) -> None:
        width = self.text.content_size.width
        heading = draw_heading(self._judged, self._place, len(self._questions))
        keys = line(("← →", "bold $primary"), (" other questions", MUTED)) if len(self._questions) > 1 else line("")
        self.query_one(Heading).show(heading, keys)
        if width:
            self.text.set_text(draw_question(self._judgement, self._judged, self._checks.get(self._place), width))
        self._show_hints()

    def _show_hints(self) -> None:
        bar = self.query_one(HintBar)
        if self._search.is_open:
            bar.show([("Enter", "keep the matches"), ("Esc", "end the search")], TYPING)
            return
        keys: list[Hint] = [("← →", "previous, next"), ("y", "copy the answer"), ("Y", "copy all"), ("/", "search")]
        if self.text.needle:
            keys.insert(0, ("n N", "next, previous match"))
        bar.show([*keys, ("Esc", "end the search" if self.text.needle else "back")], ALWAYS)

    def action_step(self, questions: int) -> None:
        place = max(0, min(self._place + questions, len(self._questions) - 1))
        if place != self._place:
            self._place = place
            self._show()

    def action_copy(self) -> None:
        copy_answer(self, self._judged.adapter.answer.text)

    def action_copy_all(self) -> None:
        copy_question(self, self._judgement, self._judged)

    def action_search(self) -> None:
        self._search.open()

    def action_find(self, step: int) -> None:
        if self.text.needle:
            self.text.find(step)

    def action_back(self) -> None:
        """Escape first ends the search, then closes the screen."""
        if self._search.is_open or self.text.needle != self._needle:
            self._search.end_search(self._needle)
        else:
            self.dismiss(self._place)
