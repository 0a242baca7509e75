"""The chat pane: a streamed conversation with the run's model, with or without its adapter."""

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
from codex_tui.workers.chat import MAX_NEW_TOKENS, Conversation, Turn
from training.contract.run_directory import RunDirectory

ENDS = {"length": f"stopped at the {MAX_NEW_TOKENS}-token limit", "stopped": "stopped", "failed": "failed"}


class Question(Input):
    """The input line. Up leaves it; all other keys edit the text."""

    DEFAULT_CSS = """
    Question, Question:focus { height: 1; border: none; padding: 0 1; background: $panel; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("up,pageup", "app.focus_previous", show=False)]


class ChatPane(ReportsWorkerErrors, Vertical):
    """Loads the model at the first question, and frees its memory when the pane is removed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop the answer, or leave chat"),
        Binding("ctrl+o", "toggle_adapter", "Base or adapter", priority=True),
        Binding("ctrl+l", "clear", "Clear the conversation", priority=True),
    ]

    def __init__(self, run: RunDirectory, *, base: bool = False) -> None:
        super().__init__(id="chat", classes="pane")
        self.conversation = Conversation(run, self._draw_soon)
        self.conversation.use_adapter = not base
        self._run = run
        self._watched: WatchedRun | None = None
        self._draw_scheduled = False
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
            self._draw_soon()
        chat = self.conversation
        if chat.look() if chat.status == "off" else chat.status == "ready" and chat.outdated:
            self._draw_soon()

    def hints(self) -> list[Hint]:
        chat = self.conversation
        keys: list[Hint] = [("ctrl+o", "base" if chat.answers_with_adapter else "adapter")] if chat.adapter else []
        if chat.turns:
            keys.append(("ctrl+l", "clear"))
        if chat.status == "answering":
            return [("Esc", "stop the answer"), *keys]
        typing = self.query_one(Question).has_focus
        return [("Enter", "ask"), ("Esc", "leave chat"), *keys] if typing else [("c", "ask"), *keys]

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
            raise SkipAction  # the screen handles Escape

    async def action_toggle_adapter(self) -> None:
        if self.conversation.adapter:
            await self.conversation.toggle_adapter()

    async def action_clear(self) -> None:
        await self.conversation.clear()

    def _must_warn(self) -> bool:
        """Whether to warn, once, that the next question loads a second copy of the model on a GPU that trains."""
        watched = self._watched
        resolved = watched.state.resolved if watched and not watched.ended else None
        on_gpu = resolved is not None and resolved.device != "cpu"
        return on_gpu and not self._warned and self.conversation.status == "off"

    def _draw_soon(self) -> None:
        """Draw at the next frame, so that all tokens of a frame are drawn at once."""
        if not self._draw_scheduled and self.is_attached:
            self._draw_scheduled = True
            self.set_timer(bandwidth.pace.frame, self._draw)

    def _draw(self) -> None:
        self._draw_scheduled = False
        if not self.children:
            return
        chat = self.conversation
        device = f" on {clean(chat.device)}" if chat.device else ""
        left = line((chat.by.capitalize(), STRONG), (" answers", MUTED), (device, MUTED))
        switch = line(("ctrl+o", f"bold {ACCENT}"), (" base ⇄ adapter", MUTED)) if chat.adapter else Content("")
        self.query_one(Heading).show(left, switch)
        self.query_one(TextView).set_text(self._paragraphs(), keep_place=True)
        self.post_message(HintsChanged())

    def _paragraphs(self) -> Iterator[Content]:
        chat = self.conversation
        if not chat.turns:
            yield from self._welcome_paragraphs()
        for turn in chat.turns:
            yield from _format_turn(turn, waiting=chat.status == "loading")
        if chat.notice:
            yield line((clean(chat.notice), "$warning"))
        if chat.status == "loading":
            progress = f" {chat.progress[0]:,} / {chat.progress[1]:,}" if chat.progress else ""
            phase = clean(chat.phase)
            yield line((f"{phase[:1].upper()}{phase[1:]}{progress} …", MUTED))
        if chat.error:
            yield line((f"✗ {clean(chat.error.message, newlines=True)}", "bold $error"))
            if chat.error.hint:
                yield line((clean(chat.error.hint, newlines=True), MUTED))
            if chat.status == "failed":
                yield line(("The next question loads the model again.", MUTED))
        if chat.status == "ready" and chat.outdated:
            yield line(("The run has saved its adapter. The next question loads it.", MUTED))
        if self._warned and chat.status == "off" and not chat.turns:
            warning = "The run is training. A second copy of the model may not fit on the GPU."
            yield line((f"{warning} Enter loads it anyway.", "$warning"))

    def _welcome_paragraphs(self) -> Iterator[Content]:
        adapter = self.conversation.adapter
        if adapter:
            yield line(("Ask a question. The first one loads the model.", MUTED))
            if adapter.step is not None:
                why = "the run saved no adapter" if self._ended else "the run saves its adapter when it ends"
                yield line((f"{adapter.name.capitalize()} answers: {why}.", MUTED))
        elif self._ended:
            yield line(("The run saved no adapter. You talk to the base model.", MUTED))
        else:
            yield line(("No adapter yet. Until the run ends or is stopped, you talk to the base model.", MUTED))


def _format_turn(turn: Turn, waiting: bool) -> Iterator[Content]:
    text = clean(turn.text, newlines=True)
    if turn.role == "user":
        yield line(("› ", f"bold {ACCENT}"), (text, STRONG))
        return
    if not turn.ended:
        if not waiting:
            yield from (Content(piece) for piece in f"{text}▌".split("\n"))
        return
    yield from (Content(piece) for piece in text.rstrip().split("\n"))
    facts = [ENDS.get(turn.ended, ""), turn.by]
    if turn.tokens and turn.seconds:
        facts.append(f"{figures.format_count(turn.tokens)} tokens, {turn.tokens / turn.seconds:.0f} tokens/s")
    yield line((" · ".join(part for part in facts if part), MUTED))
    yield Content("")
