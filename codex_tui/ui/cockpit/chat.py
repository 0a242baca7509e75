"""The chat pane: a streamed conversation with the run's model, with or without its adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, ClassVar

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import DescendantFocus

from codex_tui.base import bandwidth
from codex_tui.base.errors import CodexError
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.chat_gap import ChatGap
from codex_tui.ui.cockpit.chat_heading import draw_heading, list_hints
from codex_tui.ui.cockpit.question import Question
from codex_tui.ui.cockpit.transcript import Paragraph, draw_conversation, draw_state
from codex_tui.ui.kit.clipboard import copy_answer
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.search_field import SearchField
from codex_tui.ui.kit.text_search import SearchableText
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import HintsChanged, ReportsWorkerErrors
from codex_tui.workers.chat import Conversation
from codex_tui.workers.chat_models import FastModel
from codex_tui.workers.chat_settings import ChatSettings
from codex_tui.workers.room import ChatWay
from codex_tui.workers.turns import Turn
from training.contract.run_directory import RunDirectory


class ChatPane(ReportsWorkerErrors, Vertical):
    """Loads the model when a person goes to the question, or when the run ends in view, if the GPU has room for it;
    else at the first question. Frees the memory when the pane is removed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop the answer, or leave chat"),
        Binding("ctrl+o", "toggle_adapter", "Base or adapter", priority=True),
        Binding("ctrl+r", "ask_both", "Ask base and adapter the same question", priority=True),
        Binding("ctrl+g", "toggle_fast", "Exported GGUF file by llama-server, or the adapter", priority=True),
        Binding("ctrl+b", "choose_way", "Answer in the trainer, or park the run", priority=True),
        Binding("ctrl+l", "clear", "Clear the conversation", priority=True),
        Binding("ctrl+s", "settings", "System message, temperature and other settings of the chat", priority=True),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True),
        Binding("y", "copy", "Copy the picked answer, or the last one"),
        Binding("left", "pick(-1)", "Pick an earlier answer", show=False),
        Binding("right", "pick(1)", "Pick a later answer", show=False),
        Binding("slash", "search", "Search the conversation"),
        Binding("n", "find(1)", "Next match", show=False),
        Binding("N", "find(-1)", "Previous match", show=False),
    ]

    def __init__(self, run: RunDirectory, *, base: bool = False, way: ChatWay | None = None) -> None:
        super().__init__(id="chat", classes="pane")
        self.conversation = Conversation(run, self._draw_soon)
        self.conversation.use_adapter = not base
        self._run = run
        self._watched: WatchedRun | None = None
        self.gap = ChatGap(self, run, self.conversation, self._draw_soon, way)
        self._draw_scheduled = False
        self._ended = False
        self._loads_early = True  # until it has tried once
        self._picked: Turn | None = None  # the picked answer; None for the last one
        self._places: list[tuple[Turn, ...]] = []  # the turns of each paragraph

    def compose(self) -> ComposeResult:
        yield Heading()
        text = SearchableText(follows=True)
        yield text
        yield SearchField(text, "Search the conversation", self._search_changed)
        yield Question()

    def on_mount(self) -> None:
        self._draw()
        start_worker(self, self._find_fast_model, group="fast")

    async def _find_fast_model(self) -> None:
        with suppress(CodexError, OSError):  # the export or its tools are damaged: the worker answers
            if fast := await asyncio.to_thread(_find_fast_model, self._run):
                self.conversation.fast = fast
                self._draw_soon()

    async def on_unmount(self) -> None:
        await self.conversation.close()
        self.gap.give_back()

    @property
    def text(self) -> SearchableText:
        return self.query_one(SearchableText)

    @property
    def _search(self) -> SearchField:
        return self.query_one(SearchField)

    def on_resize(self) -> None:
        if any(turn.other for turn in self.conversation.turns):
            self.call_after_refresh(self._draw)  # the columns have another width

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if isinstance(event.widget, Question):
            self._load_early()

    def show(self, watched: WatchedRun) -> None:
        ends_in_view = watched.ended and self._watched is not None
        if watched.place != self.gap.place:
            self._draw_soon()
        self._watched = watched
        self.gap.follow(watched)
        if watched.ended != self._ended:
            self._ended = watched.ended
            self._draw_soon()
            if ends_in_view or self.query_one(Question).has_focus:
                self._load_early()
        chat = self.conversation
        if chat.look() if chat.status == "off" else chat.status == "ready" and chat.outdated:
            self._draw_soon()

    def _load_early(self) -> None:
        """Load the model of a run that has ended, once, so that the first answer comes sooner."""
        if self._loads_early and self._ended and self.conversation.status == "off":
            self._loads_early = False
            start_worker(self, self._load_if_there_is_room, group="chat")

    async def _load_if_there_is_room(self) -> None:
        from codex_tui.workers.room import has_room_for_chat

        if await asyncio.to_thread(has_room_for_chat, self._run):
            await self.conversation.start()

    def hints(self) -> list[Hint]:
        if self._search.is_open:
            return [("Enter", "keep the matches"), ("Esc", "end the search")]
        typing, searched = self.query_one(Question).has_focus, bool(self.text.needle)
        trains, has_answers = self.gap.can_choose, bool(self._find_answers())
        return list_hints(self.conversation, typing=typing, searched=searched, has_answers=has_answers, trains=trains)

    async def on_question_asked(self, message: Question.Asked) -> None:
        message.stop()
        chat, text = self.conversation, message.text
        continues = not text.strip() and chat.can_continue
        if text.strip() or continues:
            self._ask(lambda: chat.continue_text() if continues else chat.ask(self._trim(text)))

    def action_ask_both(self) -> None:
        """Ask base and adapter the typed question. If nothing is typed, ask the other model the last question too."""
        chat, text = self.conversation, self.query_one(Question).text
        if chat.fast_model:
            self.notify("The exported file has the adapter merged. ctrl+g goes back to both models.", markup=False)
        elif not text.strip() and not chat.can_ask_other:
            self.notify("Type a question for both models first.", markup=False)
        else:
            ask_both = (lambda: chat.ask(self._trim(text), of_both=True)) if text.strip() else chat.ask_other
            self._ask(ask_both, of_both=True)

    def _trim(self, text: str) -> str:
        """The spaces at the ends of a text belong to it; those of a question do not."""
        return text if self.conversation.form.text else text.strip()

    def _take_text(self) -> None:
        self.query_one(Question).take_text()
        self._picked = None

    def _ask(self, ask: Callable[[], Coroutine[Any, Any, None]], *, of_both: bool = False) -> None:
        """Ask with `ask`, as soon as it is decided who answers. The text stays in the field until then."""

        async def prepare_and_ask() -> None:
            if not await self.gap.prepare():
                return
            if of_both and not self.conversation.adapter:
                self.notify("There is no adapter yet: only the base model can answer.", markup=False)
                return
            self._take_text()
            await ask()

        start_worker(self, prepare_and_ask, group="chat")

    def action_choose_way(self) -> None:
        start_worker(self, self.gap.choose_again, group="chat")

    async def action_stop(self) -> None:
        if self._search.is_open or (self.text.needle and not self.query_one(Question).has_focus):
            self._search.end_search("")
        elif self.gap.state:  # the run is being parked
            self.gap.give_back()
            self._draw()
        elif self.conversation.status == "answering":
            await self.conversation.stop()
        elif self.query_one(Question).has_focus:
            self.text.focus()
        else:
            raise SkipAction  # the screen handles Escape

    async def action_toggle_adapter(self) -> None:
        if self.conversation.fast_model:
            self.notify("The exported file has the adapter merged. ctrl+g goes back to both models.", markup=False)
        elif self.conversation.adapter:
            await self.conversation.toggle_adapter()

    async def action_toggle_fast(self) -> None:
        if self.conversation.busy:
            self.notify("Wait for the end of the answer, or stop it with Esc.", markup=False)
        elif self.conversation.fast:
            await self.conversation.toggle_fast()
        else:
            command = f"codex-tui export {self._run.name} --to gguf"
            self.notify(f"There is no exported GGUF file, or no llama.cpp. Export one: {command}", markup=False)

    async def action_clear(self) -> None:
        self._picked = None
        await self.conversation.clear()

    def action_settings(self) -> None:
        from codex_tui.ui.cockpit.chat_settings import ChatSettingsDialog

        chat = self.conversation
        dialog = ChatSettingsDialog(chat.settings, chat.form.system_prompt, is_text=chat.form.text)
        self.app.push_screen(dialog, self._use_settings)

    def _use_settings(self, settings: ChatSettings | None) -> None:
        if settings is not None:
            self.conversation.settings = settings
            self._draw()

    def action_page(self, pages: int) -> None:
        self.text.action_page(pages)

    def action_pick(self, step: int) -> None:
        answers = self._find_answers()
        if not answers:
            return
        if self._picked in answers:
            step += answers.index(self._picked)
            self._picked = answers[max(0, min(step, len(answers) - 1))]
        else:
            self._picked = answers[-1]
        self._draw()
        self.text.show_paragraph(next(at for at, turns in enumerate(self._places) if self._picked in turns))

    def action_copy(self) -> None:
        answers = self._find_answers()
        if not answers:
            return
        answer = self._picked if self._picked in answers else answers[-1]
        copy_answer(self, answer.text)

    def _find_answers(self) -> list[Turn]:
        """Returns the answers that have a text."""
        answers = [answer for turn in self.conversation.turns if turn.role == "assistant" for answer in turn.answers]
        return [answer for answer in answers if answer.text.strip()]

    def action_search(self) -> None:
        self._search.open()

    def _search_changed(self) -> None:
        self.query_one(Question).display = not self._search.is_open
        self._draw()

    def action_find(self, step: int) -> None:
        if not self.text.needle:
            raise SkipAction
        self.text.find(step)

    def _draw_soon(self) -> None:
        """Draw at the next frame, so that all tokens of a frame are drawn at once."""
        if not self._draw_scheduled and self.is_attached:
            self._draw_scheduled = True
            self.set_timer(bandwidth.pace.frame, self._draw)

    def _draw(self) -> None:
        self._draw_scheduled = False
        if not self.children:
            return
        paragraphs = list(self._paragraphs())
        self._places = [place for place, _ in paragraphs]
        self.text.set_text((text for _, text in paragraphs), keep_place=True)
        self.query_one(Heading).show(*draw_heading(self.conversation, self.text))
        is_text = self.conversation.form.text
        self.query_one(Question).placeholder = "Begin a text" if is_text else "Ask the model"
        self.post_message(HintsChanged())

    def _paragraphs(self) -> Iterator[Paragraph]:
        chat = self.conversation
        # A search looks for a text in whole lines, so that answers are not in columns meanwhile.
        in_lines = self.text.needle or self._search.is_open
        yield from draw_conversation(chat, self._picked, 0 if in_lines else self.text.content_size.width)
        yield from (((), text) for text in draw_state(chat, run_ended=self._ended, place=self.gap.place))
        yield from (((), text) for text in self.gap.draw())


def _find_fast_model(run: RunDirectory) -> FastModel | None:
    """Import and look in a thread, so that the first paint does not wait for either."""
    from codex_tui.export.serving import find_fast_model

    return find_fast_model(run)
