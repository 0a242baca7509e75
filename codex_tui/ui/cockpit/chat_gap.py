"""How the chat pane answers while its run trains: beside it, in its trainer, or with the card of the parked run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from textual.content import Content
from textual.widget import Widget

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean, format_duration
from codex_tui.runs.answer_wait import describe_wait, estimate_wait
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit.dialogs import Confirm, Options
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import Trouble
from codex_tui.workers.chat import Conversation
from codex_tui.workers.room import ChatWay, choose_way
from training.contract import loan
from training.contract.run_directory import RunDirectory

LOOK_SECONDS = 0.2


class ChatGap:
    """Chooses the way for `conversation`, keeps it, and gives the card back. Calls `on_change` when there is something
    new to draw."""

    def __init__(
        self,
        pane: Widget,
        run: RunDirectory,
        conversation: Conversation,
        on_change: Callable[[], None],
        way: ChatWay | None = None,
    ) -> None:
        self._pane, self._run, self._conversation, self._on_change = pane, run, conversation, on_change
        self._watched: WatchedRun | None = None
        self._loan: str | None = None  # the name of our loan, while the run is parked for us
        self._parks = False  # whether the run trained when it was borrowed
        self._is_asking = False
        self.way = way
        """The chosen way; None before the first question, and while the run does not train."""
        self.state = ""
        """What happens to the run now; "" if nothing does."""
        conversation.describe_wait = self._describe_wait

    @property
    def place(self) -> str:
        """The other machine that has the run; "" for this one. Its trainer and its card are out of reach of a chat."""
        return self._watched.place if self._watched else ""

    @property
    def can_choose(self) -> bool:
        """Whether a person can choose who answers: the run has not ended, and is on this machine."""
        return self._watched is not None and not self._watched.ended and not self.place

    @property
    def has_card(self) -> bool:
        """Whether no trainer starts while this chat goes on."""
        return self._loan is not None

    @property
    def parks_run(self) -> bool:
        """Whether the run is parked for this chat, and resumes after it. Another run was held already."""
        return self._loan is not None and self._parks

    def draw(self) -> Iterator[Content]:
        """Draw what is to be said below the conversation."""
        if self.state:
            yield line((self.state, "$warning"))
        elif self.parks_run:
            yield line(("The run is parked for this chat. It resumes when you leave this pane.", MUTED))

    def follow(self, watched: WatchedRun) -> None:
        """Look at the run: it may have ended, or someone may have resumed it."""
        self._watched = watched
        if watched.ended:
            self.way = None
            if self.has_card or self._conversation.in_trainer:
                start_worker(self._pane, self._end, group="gap")
        elif self.has_card and not self.state and self._run.is_trainer_alive():  # someone else has resumed it
            self._pane.notify("The run was resumed, so its model is no longer loaded here.", markup=False)
            start_worker(self._pane, self.leave, group="gap")

    async def prepare(self) -> bool:
        """Make it possible to ask. Returns False if the person has cancelled it, or if it failed.

        Asks how, once, where the card holds one model.
        """
        watched = self._watched
        if self._is_asking:
            return False
        if watched is None or watched.ended or self._conversation.fast_model:
            return True
        if watched.place:  # the card of this machine has no trainer
            self.way = "beside"
            return True
        self._is_asking = True
        try:
            if watched.held:  # no trainer runs, and the loan keeps the next one away
                self.way = "park"
            self.way = self.way or await self._choose(watched)
            match self.way:
                case None:
                    return False
                case "park":
                    return await self._borrow()
                case way:
                    await self._conversation.ask_in_trainer(way == "trainer")
        except CodexError as error:
            self._pane.post_message(Trouble(error.message, error.hint))
            return False
        finally:
            self._is_asking = False
        return True

    async def choose_again(self) -> None:
        """Ask again how to answer, from the next question on."""
        watched = self._watched
        if watched is None or watched.ended or (watched.held and not watched.place):
            text = "The run does not train now, so that its model is loaded for the chat."
            self._pane.notify(text, markup=False)
        elif self._run.is_mirror():
            self._pane.notify("The run is on another machine. Its adapter comes here at its end.", markup=False)
        elif watched.place:
            text = f"The run is on {clean(watched.place)}, so that its model is loaded here for the chat."
            self._pane.notify(text, markup=False)
        elif self._conversation.busy:
            self._pane.notify("Wait for the end of the answer, or stop it with Esc.", markup=False)
        elif (way := await self._ask(watched)) and way != self.way:
            await self.leave()
            self.way = way
            await self._conversation.ask_in_trainer(way == "trainer")

    async def ask_to_leave(self, action: str) -> bool:
        """Say that the run resumes when the chat is left. Returns whether the person agrees; True if the run is not
        parked for this chat."""
        if not self.parks_run:
            await self.leave()
            return True
        name = clean(self._run.name)
        text = f"{name} is parked for this chat. It resumes as soon as you leave."
        if not await self._pane.app.push_screen_wait(Confirm("Leave the chat?", text, action, "go on chatting")):
            return False
        await self.leave()
        self._pane.app.notify(f"{name} resumes.", markup=False)
        return True

    async def leave(self) -> None:
        """End the worker, then let the run resume."""
        if self.has_card:
            await self._conversation.close()
            self.give_back()

    def give_back(self) -> None:
        """Let the run resume. Call it when the worker has ended."""
        name, self._loan = self._loan, None
        self.way, self.state = None, ""
        if name:
            loan.give_back(self._run, name)

    async def _end(self) -> None:
        await self._conversation.ask_in_trainer(False)
        self.give_back()

    async def _choose(self, watched: WatchedRun) -> ChatWay | None:
        way = await asyncio.to_thread(choose_way, self._run)
        return way or await self._ask(watched)

    async def _ask(self, watched: WatchedRun) -> ChatWay | None:
        from codex_tui.runs.loading_time import measure_start

        wait, start = estimate_wait(watched, time.time()), await asyncio.to_thread(measure_start, self._run)
        within = "" if wait is None else f", in about {format_duration(max(1.0, wait))}"
        again = "" if start is None else f" It trains again about {format_duration(start.first_step)} later."
        text = (
            f"In the trainer: it answers at the end of the step{within}, with the adapter as it is then, or with the "
            "base model. Training pauses for the answer.\n\n"
            "Parked: the run saves, and its process ends. You chat with the whole card, and the run resumes when "
            f"you leave this pane.{again}"
        )
        options = [("t", "in the trainer"), ("p", "park the run")] if self._run.is_kept() else [("t", "in the trainer")]
        title = f"{clean(self._run.name)} trains, and no second model is loaded beside it."
        answer = await self._pane.app.push_screen_wait(Options(title, text, options, "cancel"))
        ways: dict[str | None, ChatWay] = {"t": "trainer", "p": "park"}
        return ways.get(answer)

    async def _borrow(self) -> bool:
        """Park the run, and wait until its process has ended. Returns False if the person gives up meanwhile. Raises
        CodexError."""
        if not self._run.is_kept():
            self.way = None
            raise CodexError("The run can't be parked: its keeper is gone.", "ctrl+b: ask its trainer.")
        if self._loan is None:
            self._parks = self._run.is_trainer_alive()
            try:
                self._loan = await asyncio.to_thread(loan.borrow, self._run, loan.CHAT_REASON, loan.CHAT_ENDS)
            except OSError as error:
                self.way = None
                raise CodexError(f"The run can't be parked: {error.strerror}.", "Free some space.") from None
        since = time.monotonic()
        while self._run.is_trainer_alive() and self._loan:
            waited = format_duration(time.monotonic() - since)
            self._show(f"The run saves, and its process ends ({waited}) …")
            await asyncio.sleep(LOOK_SECONDS)
        self._show("")
        if self._loan is None:
            return False
        await self._conversation.ask_in_trainer(False)
        return True

    def _show(self, state: str) -> None:
        if state != self.state:
            self.state = state
            with suppress(RuntimeError):
                self._on_change()

    def _describe_wait(self) -> str:
        return describe_wait(self._watched, time.time()) if self._watched else "waits for the trainer"
