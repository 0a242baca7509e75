"""A conversation with the run's model, streamed; the same loaded base with or without the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from codex_tui.base import bandwidth
from codex_tui.base.text import clean
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.samples import Heading
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.text_view import TextView
from codex_tui.ui.messages import HintsChanged, ReportsWorkerErrors
from codex_tui.workers.chat import Conversation, Turn
from training.contract.run_directory import RunDirectory

ENDS = {"length": "cut at its longest length", "stopped": "stopped", "failed": "failed"}


class Question(Input):
    """Where one types. Its own keys stay the terminal's usual ones."""

    DEFAULT_CSS = """
    Question, Question:focus { height: 1; border: none; padding: 0 1; background: $panel; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("up,pageup", "app.focus_previous", show=False)]


class ChatPane(ReportsWorkerErrors, Vertical):
    """Loads nothing before the first question; frees it all when it goes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop the answer, or leave"),
        Binding("ctrl+o", "toggle_adapter", "Base or adapter", priority=True),
        Binding("ctrl+l", "clear", "Clear the conversation", priority=True),
    ]

    def __init__(self, run: RunDirectory, *, base: bool = False) -> None:
        super().__init__(id="chat", classes="pane")
        self.conversation = Conversation(run, self._changed)
        self.conversation.use_adapter = not base
        self._run = run
        self._watched: WatchedRun | None = None
        self._drawing_soon = False
        self._warned = False
        self._ended = False

    def compose(self) -> ComposeResult:
        yield Heading()
        yield TextView(follows=True)
        question = Question(placeholder="Ask the model", select_on_focus=False)
        question.cursor_blink = False
        yield question

    def on_mount(self) -> None:
        self._draw()

    async def on_unmount(self) -> None:
        await self.conversation.close()

    def show(self, watched: WatchedRun) -> None:
        self._watched = watched
        if watched.ended != self._ended:
            self._ended = watched.ended
            self._changed()
        chat = self.conversation
        if chat.look() if chat.status == "off" else chat.status == "ready" and chat.outdated:
            self._changed()

    def hints(self) -> list[Hint]:
        chat = self.conversation
        more: list[Hint] = [("ctrl+o", "base" if chat.answers_with_adapter else "adapter")] if chat.adapter else []
        if chat.turns:
            more.append(("ctrl+l", "clear"))
        if chat.status == "answering":
            return [("Esc", "stop the answer"), *more]
        typing = self.query_one(Question).has_focus
        return [("Enter", "ask"), ("Esc", "leave the line"), *more] if typing else [("c", "ask"), *more]

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if not text or self.conversation.busy:
            return
        if self._must_warn():
            self._warned = True
            self._draw()
            return
        event.input.clear()
        self.run_worker(self.conversation.ask(text), exit_on_error=False, group="chat")

    async def action_stop(self) -> None:
        if self.conversation.status == "answering":
            await self.conversation.stop()
        elif self.query_one(Question).has_focus:
            self.query_one(TextView).focus()
        else:
            raise SkipAction  # Escape is the screen's then

    async def action_toggle_adapter(self) -> None:
        if self.conversation.adapter:
            await self.conversation.toggle_adapter()

    async def action_clear(self) -> None:
        await self.conversation.clear()

    def _must_warn(self) -> bool:
        """A second copy of the model beside one that trains may be one too many for the card; said once."""
        watched = self._watched
        resolved = watched.state.resolved if watched and not watched.ended else None
        on_gpu = resolved is not None and resolved.device != "cpu"
        return on_gpu and not self._warned and self.conversation.status == "off"

    def _changed(self) -> None:
        """Draws soon: tokens that come in one frame are drawn as one."""
        if not self._drawing_soon and self.is_attached:
            self._drawing_soon = True
            self.set_timer(bandwidth.pace.frame, self._draw)

    def _draw(self) -> None:
        self._drawing_soon = False
        if not self.children:
            return
        chat = self.conversation
        where = f" on {clean(chat.device)}" if chat.device else ""
        left = line((chat.by.capitalize(), STRONG), (" answers", MUTED), (where, MUTED))
        other = line(("ctrl+o", f"bold {ACCENT}"), (" base ⇄ adapter", MUTED)) if chat.adapter else Content("")
        self.query_one(Heading).show(left, other)
        self.query_one(TextView).set_text(self._paragraphs(), keep_place=True)
        self.post_message(HintsChanged())

    def _paragraphs(self) -> Iterator[Content]:
        chat = self.conversation
        if not chat.turns:
            yield from self._welcome()
        for turn in chat.turns:
            yield from _turn(turn, waiting=chat.status == "loading")
        if chat.status == "loading":
            counted = f" {chat.progress[0]:,} / {chat.progress[1]:,}" if chat.progress else ""
            doing = clean(chat.phase)
            yield line((f"{doing[:1].upper()}{doing[1:]}{counted} …", MUTED))
        if chat.error:
            yield line((f"✗ {clean(chat.error.message, newlines=True)}", "bold $error"))
            if chat.error.hint:
                yield line((clean(chat.error.hint, newlines=True), MUTED))
            if chat.status == "failed":
                yield line(("The next question loads the model again.", MUTED))
        if chat.status == "ready" and chat.outdated:
            yield line(("The run has saved its adapter: the next question loads it.", MUTED))
        if self._warned and chat.status == "off" and not chat.turns:
            warning = "The run is training: a second copy of the model may not fit beside it."
            yield line((f"{warning} Enter loads it all the same.", "$warning"))

    def _welcome(self) -> Iterator[Content]:
        adapter = self.conversation.adapter
        if adapter:
            yield line(("Ask something: the model loads at the first question.", MUTED))
            if adapter.step is not None:
                why = "the run left no adapter" if self._ended else "the run saves its adapter when it ends"
                yield line((f"{adapter.name.capitalize()} answers: {why}.", MUTED))
        elif self._ended:
            yield line(("The run left no adapter; the base model answers.", MUTED))
        else:
            yield line(("No adapter yet: the run saves it when it ends or is stopped.", MUTED))
            yield line(("Until then the base model answers.", MUTED))


def _turn(turn: Turn, waiting: bool) -> Iterator[Content]:
    text = clean(turn.text, newlines=True)
    if turn.role == "user":
        yield line(("› ", f"bold {ACCENT}"), (text, STRONG))
        return
    if not turn.ended:
        if not waiting:
            yield from (Content(piece) for piece in f"{text}▌".split("\n"))
        return
    yield from (Content(piece) for piece in text.rstrip().split("\n"))
    about = [ENDS.get(turn.ended, ""), turn.by]
    if turn.tokens and turn.seconds:
        about.append(f"{figures.format_count(turn.tokens)} tokens, {turn.tokens / turn.seconds:.0f} a second")
    yield line((" · ".join(part for part in about if part), MUTED))
    yield Content("")
