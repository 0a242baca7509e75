"""The judgements of a run: the conclusions, the table, and each question with the answers of both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from codex_tui.base import bandwidth
from codex_tui.base.text import clean, pluralize
from codex_tui.judge.results import Shelf, Show, read_shelf
from codex_tui.ui.judge.questions import QuestionList, QuestionsPane
from codex_tui.ui.judge.result import describe_title, draw_empty, draw_problems, draw_result
from codex_tui.ui.judge.sending import ask_to_send
from codex_tui.ui.judge.start import JudgeDialog
from codex_tui.ui.judge.work import JudgeWork, Request
from codex_tui.ui.kit.drawing import line
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.hints import ALWAYS, TYPING, Hint, HintBar
from codex_tui.ui.kit.stoppable import HoldsWork
from codex_tui.ui.kit.tabs import TabStrip
from codex_tui.ui.kit.text_view import TextView
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.work import draw_work
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors
from training.contract.judgement import Judgement
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.judge.endpoint import Endpoint

PANES = (("result", "Result"), ("questions", "Questions"))
MIN_SIZE_FOR_BOTH = (100, 30)  # a smaller screen shows one pane and tabs
MAX_RESULT_SHARE = 0.58  # of the height; the questions have the rest
FRAME_WIDTH, FRAME_HEIGHT = 4, 2  # cells of a box around its content


class JudgeScreen(ReportsWorkerErrors, HoldsWork):
    WORK, RESULTS = "judgement", "answers"
    work: JudgeWork
    DEFAULT_CSS = """
    JudgeScreen > Vertical { border: round $rule; border-title-color: $text-muted; padding: 0 1; height: 1fr; }
    JudgeScreen > Vertical { border-subtitle-color: $text-muted; }
    JudgeScreen > #result { border-subtitle-color: $warning; }
    JudgeScreen > Vertical:focus-within { border: round $primary; border-title-color: $primary; }
    JudgeScreen.one TabStrip { display: block; }
    JudgeScreen.one > Vertical { display: none; }
    JudgeScreen.one > Vertical.current { display: block; }
    JudgeScreen.empty TabStrip, JudgeScreen.empty > #questions { display: none; }
    JudgeScreen #work { padding: 0 1; display: none; dock: bottom; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "pane('result')", "Result", show=False),
        Binding("2", "pane('questions')", "Questions", show=False),
        Binding("w", "show('worse')", "Questions that the adapter answers worse"),
        Binding("b", "show('better')", "Questions that the adapter answers better"),
        Binding("f", "show('fail')", "Questions that the adapter fails"),
        Binding("a", "show('all')", "All questions"),
        Binding("t", "group(1)", "Questions of the next tag"),
        Binding("T", "group(-1)", "Questions of the previous tag", show=False),
        Binding("slash", "search", "Search the questions"),
        Binding("left,h", "file(-1)", "Newer judgement"),
        Binding("right", "file(1)", "Older judgement"),
        Binding("n", "judge", "Judge the run"),
        Binding("m", "judge_model", "Ask the judge model"),
        Binding("r", "go_on", "Go on with the judgement that was stopped"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run_directory = run
        self.work = JudgeWork(run, self._work_changed)
        self._shelf: Shelf | None = None  # None until the files are read
        self._place = 0  # of the shown judgement
        self._drawn: Judgement | None = None  # the one in the text
        self._pane = "result"
        self._last_work: Callable[[], Coroutine[Any, Any, None]] | None = None  # which can go on if it was stopped

    def compose(self) -> ComposeResult:
        yield TitleBar("Judgement", clean(self.run_directory.name))
        yield TabStrip(PANES)
        with Vertical(id="result") as box:
            box.border_title = "What can be concluded"
            yield TextView(id="conclusions")
        yield QuestionsPane(self._show_hints)
        yield Heading(id="work")
        yield HintBar()

    def on_mount(self) -> None:
        self._arrange()
        self.query_one("#conclusions").focus()
        self.call_after_refresh(self._reload)
        self.set_interval(bandwidth.pace.tick, self._show_work)

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self._show)

    def _reload(self, name: str = "") -> None:
        start_worker(self, partial(self._read, name), group="read", exclusive=True)

    async def _read(self, name: str) -> None:
        """Read the files, and show the one with this name, or the newest."""
        self._shelf = shelf = await asyncio.to_thread(read_shelf, self.run_directory)
        names = [path.name for path in shelf.paths]
        self._place = names.index(name) if name in names else 0
        if self.is_attached:
            self._arrange()
            self.call_after_refresh(self._show)
            if shelf.judgements and not self.has_class("one"):
                self.query_one(QuestionList).focus()

    @property
    def judgement(self) -> Judgement | None:
        return self._shelf.judgements[self._place] if self._shelf and self._shelf.judgements else None

    @property
    def questions(self) -> QuestionsPane:
        return self.query_one(QuestionsPane)

    def _arrange(self) -> None:
        """Show both panes if they fit, else the current one and tabs."""
        size, has_result = self.app.size, self.judgement is not None
        self.set_class(size.width < MIN_SIZE_FOR_BOTH[0] or size.height < MIN_SIZE_FOR_BOTH[1], "one")
        self.set_class(not has_result, "empty")
        for pane, _ in PANES:
            self.query_one(f"#{pane}").set_class(pane == self._pane or not has_result, "current")
        self.query_one(TabStrip).show(self._pane)

    def _show(self) -> None:
        if not self.is_attached or self._shelf is None:
            return
        self._show_result(self._shelf)
        if judgement := self.judgement:
            self.questions.show(judgement)
        self._show_work()
        self._show_hints()

    def _show_result(self, shelf: Shelf) -> None:
        text, judgement = self.query_one("#conclusions", TextView), self.judgement
        width = text.content_size.width or self.app.size.width - FRAME_WIDTH
        if judgement is None:
            empty = draw_empty(self.run_directory.name, is_judging=self.work.tracker is not None)
            paragraphs = [*empty, *draw_problems(shelf.problems)]
        else:
            paragraphs = [*draw_result(shelf, self._place, width)]
            self.query_one(TitleBar).show("Judgement", describe_title(shelf, self._place))
        text.set_text(paragraphs, keep_place=judgement is self._drawn)
        self._drawn = judgement
        unread = len(shelf.problems)
        self.query_one("#result").border_subtitle = f"! {pluralize(unread, 'file')} can't be shown" if unread else ""
        needed = sum(len(row.wrap(width)) if row else 1 for row in paragraphs) + FRAME_HEIGHT
        alone = self.has_class("one") or judgement is None
        self.query_one("#result").styles.height = (
            "1fr" if alone else min(needed, int(MAX_RESULT_SHARE * self.app.size.height))
        )

    def _show_work(self) -> None:
        work, tracker = self.query_one("#work", Heading), self.work.tracker
        work.display = bool(tracker or self.work.stopped)
        if tracker:
            work.show(draw_work(tracker, "Esc stops", self.app.size.width), Content(""))
        elif self.work.stopped:
            work.show(line(("The judgement was stopped. Its answers are kept: r goes on.", "$warning")), Content(""))

    def _work_changed(self) -> None:
        if self.is_attached and self._shelf and not self.judgement:
            self._show_result(self._shelf)
        if self.is_attached:
            self._show_work()
            self._show_hints()

    def _show_hints(self) -> None:
        bar, tracker = self.query_one(HintBar), self.work.tracker
        if self.questions.is_searching:
            bar.show([("Enter", "keep the filter"), ("Esc", "show all")], TYPING)
            return
        keys: list[Hint] = [("r", "go on")] if self.work.stopped and not tracker else []
        if self.judgement is None:
            keys += [] if tracker else [("n", "judge")]
        else:
            in_list = self.query_one(QuestionList).has_focus
            keys += [("Enter", "read")] if in_list else [("2", "questions")]
            keys += [("w", "worse"), ("b", "better"), ("f", "fails"), ("t", "tag"), ("/", "search")]
            keys += [("y Y", "copy")] if in_list else []
            keys += [("← →", "other judgement")] if self._shelf and len(self._shelf.paths) > 1 else []
            keys += [] if tracker else [("m", "judge model"), ("n", "judge again")]
        bar.show([*keys, ("Esc", "stop" if tracker else "back")], ALWAYS)

    def on_descendant_focus(self) -> None:
        self._show_hints()

    def on_tab_strip_picked(self, message: TabStrip.Picked) -> None:
        self.action_pane(message.pane)

    def action_pane(self, pane: str) -> None:
        self._pane = pane
        self._arrange()
        self.call_after_refresh(self._focus_pane)

    def _focus_pane(self) -> None:
        """Focus the pane, which can be done only after it has become visible."""
        if self.is_attached:
            if not self.questions.is_searching:
                has_list = self._pane == "questions" and self.judgement is not None
                self.query_one("#list" if has_list else "#conclusions").focus()
            self._show()

    def action_show(self, show: Show) -> None:
        if show == "all":
            self.questions.show_all()
        else:
            self.questions.toggle(show)
        self.action_pane("questions")

    def action_group(self, step: int) -> None:
        self.questions.next_group(step)
        self.action_pane("questions")

    def action_search(self) -> None:
        if self.judgement:
            self.questions.is_searching = True
            self.action_pane("questions")
            self.call_after_refresh(self.questions.search)

    def action_file(self, step: int) -> None:
        """Show a newer or an older judgement."""
        if self._shelf and self._shelf.judgements:
            self._place = max(0, min(self._place + step, len(self._shelf.judgements) - 1))
            self._show()

    def action_judge(self) -> None:
        if not self.work.tracker:
            before = self.work.request or self._suggest_request()
            self.app.push_screen(JudgeDialog(self.run_directory, before), self._start)

    def _suggest_request(self) -> Request:
        """Suggest the book and the other side of the shown judgement; without one, what the command would use."""
        if shown := self.judgement:
            return Request(shown.book.name, shown.against.name)
        return Request.make_default(self.run_directory)

    def action_go_on(self) -> None:
        if self.work.stopped and self._last_work:
            self._begin(self._last_work)

    def _start(self, request: Request | None) -> None:
        if request:
            self._begin(partial(self._judge, request))

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if not self.work.tracker:
            self._last_work = work
            start_worker(self, work, group="judge", exclusive=True)

    def action_judge_model(self) -> None:
        if self._shelf and self.judgement and not self.work.tracker:
            work = partial(self._ask_to_send, self.judgement, self._shelf.paths[self._place])
            start_worker(self, work, group="send", exclusive=True)

    async def _ask_to_send(self, judgement: Judgement, path: Path) -> None:
        if endpoint := await ask_to_send(self.app, judgement):
            self._begin(partial(self._ask_judge_model, path, endpoint))

    async def _ask_judge_model(self, path: Path, endpoint: Endpoint) -> None:
        await self.work.ask_judge_model(path, endpoint)
        if not self.work.stopped:
            self._reload(self.work.result)

    async def _judge(self, request: Request) -> None:
        await self.free_workers_of_screens()
        await self.work.judge(request)
        if not self.work.stopped:
            self._reload(self.work.result)

    def action_back(self) -> None:
        """Escape first ends the search, then asks whether to stop the judgement, then removes the filters, then closes
        the screen."""
        if self.questions.is_searching:
            self.questions.show_all()
            self.questions.end_search()
        elif self.work.tracker:
            self.ask_to_stop()
        elif self.judgement and self.questions.is_filtered:
            self.action_show("all")
        elif len(self.app.screen_stack) > 1:
            self.dismiss()
