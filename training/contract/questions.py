"""Questions of viewers to the trainer of a run, and its answers: small files in RUN/questions.

A viewer writes ID.json. Between two steps the trainer answers the questions in the order of their ids. It appends
the messages of a chat worker (AnswerBegin, Token, AnswerEnd, WorkerError) to ID.jsonl, one a line, and deletes ID.json
at the end of the answer. The viewer deletes ID.jsonl when it has read the end. To withdraw a question, a viewer deletes
ID.json: an answer that has begun then ends.

A question whose viewer is gone is not answered. The trainer deletes the answers of earlier attempts when it begins, and
the folder when it ends. Files are 0600. None of them has a secret, and nothing of them is in events.jsonl.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from training.contract import files
from training.contract.chat_messages import CHAT, ChatAnswer, Generate
from training.contract.messages import NotUnderstood
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.contract.signs import keep_fresh, lives

MAX_BYTES = 2**20  # a question with its conversation has at most so many bytes
MAX_QUESTIONS = 64  # the trainer looks at so many questions at once; the others wait
_NAME = re.compile(r"(\d{20}-[0-9a-f]{8})\.json")


class Question(msgspec.Struct):
    """One question. `asker` is the process that reads the answer: without it, nobody does."""

    request: Generate
    asker: ProcessIdentity


class QuestionTooLong(ValueError):
    """A question with a conversation of more than MAX_BYTES."""


def ask(run: RunDirectory, request: Generate) -> str:
    """Write a question of this process and return its id. Raises QuestionTooLong, OSError."""
    content = msgspec.json.encode(Question(request, ProcessIdentity.current()))
    if len(content) > MAX_BYTES:
        raise QuestionTooLong
    with suppress(FileExistsError):
        run.questions.mkdir(mode=0o700)
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    files.write_atomically(question_path(run, name), content, sync=False)
    keep_fresh(question_path(run, name))
    return name


def withdraw(run: RunDirectory, name: str) -> None:
    """Delete a question and what there is of its answer."""
    for path in (question_path(run, name), answer_path(run, name)):
        with suppress(OSError):
            path.unlink()


def list_questions(run: RunDirectory) -> list[str]:
    """List the ids of the questions, in the order in which they were asked. It costs two system calls where there is
    none, so the trainer can call it after each step."""
    try:
        if not stat.S_ISDIR(os.lstat(run.questions).st_mode):  # a link could lead out of the run
            return []
        names = os.listdir(run.questions)  # noqa: PTH208  half the time
    except OSError:
        return []
    return sorted(match[1] for match in map(_NAME.fullmatch, names) if match)[:MAX_QUESTIONS]


def read_question(run: RunDirectory, name: str) -> Question | None:
    """Return the question, or None if it was withdrawn, is damaged, or if nobody waits for its answer."""
    try:
        question = msgspec.json.decode(files.read(question_path(run, name), MAX_BYTES), type=Question)
    except (OSError, ValueError, RecursionError):
        return None
    return question if lives(question.asker, question_path(run, name)) else None


def read_answer(run: RunDirectory, name: str, offset: int) -> tuple[list[ChatAnswer], int]:
    """Return the messages of the answer after `offset` bytes, and the offset behind the last whole line."""
    try:
        with files.open_file(answer_path(run, name)) as file:
            file.seek(offset)
            data = file.read()
    except OSError:  # there is no answer yet
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    messages = []
    for line in whole.splitlines():
        with suppress(NotUnderstood):
            if (message := CHAT.read_answer(line)) is not None:
                messages.append(message)
    return messages, offset + len(whole)


def finish(run: RunDirectory, name: str) -> None:
    """Delete the question after its answer. If the viewer has withdrawn it, nobody reads the answer, so delete that
    too."""
    try:
        question_path(run, name).unlink()
    except OSError:  # no trouble with the folder is worth the end of a run
        withdraw(run, name)


def forget_unread(run: RunDirectory) -> None:
    """Delete the answers of an earlier attempt, and the questions whose viewers are gone. The others still wait."""
    if run.questions.is_symlink():
        return
    for path in run.questions.glob("*.jsonl"):
        with suppress(OSError):
            path.unlink()
    for name in list_questions(run):
        if read_question(run, name) is None:
            withdraw(run, name)


def delete_all(run: RunDirectory) -> None:
    """Delete the folder with all questions. A viewer that waits sees that its question is gone."""
    shutil.rmtree(run.questions, ignore_errors=True)


def question_path(run: RunDirectory, name: str) -> Path:
    return run.questions / f"{name}.json"


def answer_path(run: RunDirectory, name: str) -> Path:
    return run.questions / f"{name}.jsonl"
