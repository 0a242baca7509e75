"""How `chat --prompt` asks a run that trains: its trainer, or a worker while the run is parked."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.runs.engine_reason import name_place_of_run
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.workers.room import ChatWay
    from codex_tui.workers.trainer_chat import TrainerChat

LOOK_SECONDS = 0.2
WAYS: dict[str, ChatWay] = {"t": "trainer", "p": "park"}


def choose_way(run: RunDirectory, args: argparse.Namespace) -> ChatWay | None:
    """Return how to ask `run`, which the options --in-trainer and --park say. Asks if neither does and the run trains
    on a card that holds one model. Returns None if the person cancels. Raises BadInput."""
    if run.is_mirror() and run.is_live():
        if args.in_trainer or args.park:
            hint = f"Its adapter comes here at its end. Ask the base model: codex-tui chat {run.name} --base"
            raise BadInput(f"{run.name} is on {name_place_of_run(run)}, where nobody can ask it from here.", hint)
        return "beside"
    trains, place = run.is_trainer_alive(), name_place_of_run(run) if run.is_live() else ""
    if place and (args.in_trainer or args.park):
        option = "--in-trainer" if args.in_trainer else "--park"
        raise BadInput(f"{run.name} is on {place}, and a chat needs its model here.", f"Leave out {option}.")
    if args.in_trainer:
        if not trains:
            raise BadInput(f"{run.name} does not train now, so no trainer can answer.", "Leave out --in-trainer.")
        return "trainer"
    if place or not run.is_live():
        return "beside"
    if args.park or not trains:  # a run that is held: it stays so until the answer is there
        if not run.is_kept():
            raise BadInput(f"{run.name} can't be parked: its keeper is gone.", "Ask its trainer: add --in-trainer.")
        return "park"
    from codex_tui.workers import room

    return room.choose_way(run) or _ask(run)


def _ask(run: RunDirectory) -> ChatWay | None:
    sentence = f"{run.name} trains, and no second model is loaded beside it."
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        hint = "Add --in-trainer: the trainer answers at the end of a step. Or --park: the run resumes after the chat."
        raise BadInput(sentence, hint)
    print(sentence, file=sys.stderr)
    while True:
        question = "Ask the trainer at the end of the step (t), park the run for the answer (p), or cancel (c)? "
        print(question, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        word = answer.strip().lower()
        if word in WAYS:
            return WAYS[word]
        if not answer or word in ("c", "cancel"):
            return None


@contextmanager
def borrow_card(run: RunDirectory) -> Iterator[None]:
    """Park the run, and let it resume at the end, also if this process is killed. A run that was held already stays so.
    Raises CodexError."""
    from codex_tui.base.progress import Progress
    from codex_tui.commands.progress import print_progress
    from training.contract import loan

    trained = run.is_trainer_alive()
    try:
        name = loan.borrow(run, loan.CHAT_REASON, loan.CHAT_ENDS)
    except OSError as error:
        raise CodexError(
            f"{run.name} can't be parked: {error.strerror}.", "Free some space, then try it again."
        ) from None
    try:
        with print_progress() as report:
            while run.is_trainer_alive():
                report(Progress("waiting until the run has saved and its process has ended"))
                time.sleep(LOOK_SECONDS)
        yield
    finally:
        loan.give_back(run, name)
        if trained:
            print(f"{run.name} resumes.", file=sys.stderr)


def talk_to_trainer(run: RunDirectory) -> TrainerChat:
    """Return what takes the place of a worker: the trainer of `run`."""
    from codex_tui.runs.answer_wait import describe_wait
    from codex_tui.runs.follower import RunFollower
    from codex_tui.workers.trainer_chat import TrainerChat

    follower = RunFollower(run)

    def describe() -> str:
        follower.poll()
        return describe_wait(follower.watched, time.time())

    return TrainerChat(run, describe)
