"""The list of a judgement's questions, with its filters and its search."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from codex_tui.base.text import clean
from codex_tui.judge.results import Show, contains, is_in_group, is_shown, list_groups
from codex_tui.ui.judge.copying import copy_question
from codex_tui.ui.judge.entry import LINES, draw_entry, name_sides
from codex_tui.ui.judge.question import QuestionScreen
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.clipboard import copy_answer
from codex_tui.ui.kit.line_input import LineInput
from training.contract.judgement import JudgedQuestion, Judgement

SHOWN: dict[Show, str] = {
    "all": "all", "worse": "the adapter is worse", "better": "the adapter is better", "fail": "the adapter fails",
}  # fmt: skip


class QuestionList(Choices):
    """A page is what the list has room for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy the adapter's answer"),
        Binding("Y", "copy_all", "Copy the question with both answers"),
    ]

    def __init__(self) -> None:
        super().__init__("list", lines=LINES)
        self.judgement: Judgement | None = None
        self.questions: list[JudgedQuestion] = []

    @property
    def picked(self) -> JudgedQuestion | None:
        return None if self.index is None else self.questions[self.index]

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.content_size.height // LINES))

    def action_copy(self) -> None:
        if judged := self.picked:
            copy_answer(self, judged.adapter.answer.text)

    def action_copy_all(self) -> None:
        if (judged := self.picked) and self.judgement:
            copy_question(self, self.judgement, judged)


class QuestionsPane(Vertical):
    """Shows the questions that the filters and the search let through. `changed` is called when the keys change."""

    DEFAULT_CSS = """
    QuestionsPane #search { display: none; background-tint: $primary 20%; }
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__(id="questions")
        self._changed = changed
        self._show_only: Show = "all"
        self._group = "all"
        self.is_searching = False

    def compose(self) -> ComposeResult:
        yield QuestionList()
        yield LineInput(id="search", placeholder="words of a question, an answer or a tag")

    @property
    def list(self) -> QuestionList:
        return self.query_one(QuestionList)

    @property
    def _field(self) -> Input:
        return self.query_one("#search", Input)

    @property
    def _needle(self) -> str:
        return self._field.value.strip()

    @property
    def is_filtered(self) -> bool:
        return bool(self._needle) or (self._show_only, self._group) != ("all", "all")

    def show(self, judgement: Judgement) -> None:
        """Show the questions of `judgement`. The filters stay, as far as it has such groups."""
        if judgement is not self.list.judgement:
            self.list.judgement = judgement
            self._group = self._group if self._group in list_groups(judgement) else "all"
            self._fill()

    def _fill(self) -> None:
        if (judgement := self.list.judgement) is None:
            return
        needle = self._needle
        self.list.questions = [
            judged
            for judged in judgement.answers
            if is_shown(judged, self._show_only)
            and is_in_group(judged, self._group)
            and (not needle or contains(judged, needle))
        ]
        names = name_sides(judgement)
        self.list.set_rows(
            [(judged.question.id, partial(draw_entry, judged, names, needle)) for judged in self.list.questions]
        )
        self._show_titles()

    def _show_titles(self) -> None:
        filters = [SHOWN[self._show_only]] if self._show_only != "all" else []
        filters += [clean(self._group)] if self._group != "all" else []
        filters += [f"with “{clean(self._needle)}”"] if self._needle else []
        self.border_title = Content(f"Questions: {', '.join(filters) or 'all'}")
        index, count = self.list.index, len(self.list.questions)
        total = len(self.list.judgement.answers) if self.list.judgement else 0
        of = f" of {total:,}" if filters else ""
        self.border_subtitle = f"none{of}" if index is None else f"{index + 1:,} / {count:,}{of}"

    def toggle(self, show: Show) -> None:
        """Show only these questions, or all again if only these are shown."""
        self._show_only = "all" if show == self._show_only else show
        self._fill()

    def next_group(self, step: int) -> None:
        if self.list.judgement:
            groups = [*list_groups(self.list.judgement)]
            self._group = groups[(groups.index(self._group) + step) % len(groups)]
            self._fill()

    def show_all(self) -> None:
        self._show_only, self._group, self._field.value = "all", "all", ""
        self._field.display = False
        self._fill()

    def search(self) -> None:
        """Open the search field."""
        self.is_searching = self._field.display = True
        self._field.focus()
        self._changed()

    def end_search(self) -> None:
        self.is_searching = False
        self._field.display = bool(self._needle)
        self.list.focus()
        self._changed()

    def on_input_changed(self) -> None:
        self._fill()

    def on_input_submitted(self) -> None:
        self.end_search()

    def on_choices_moved(self) -> None:
        self._show_titles()

    def on_choices_chosen(self) -> None:
        index, judgement = self.list.index, self.list.judgement
        if index is not None and judgement:
            screen = QuestionScreen(judgement, self.list.questions, index, self._needle)
            self.app.push_screen(screen, self._pick)

    def _pick(self, place: int | None) -> None:
        if place is not None:
            self.list.pick(place)
