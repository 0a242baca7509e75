"""Questions and answers as files: what a viewer writes, what the trainer finds, and what stays after both."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import msgspec
import pytest

from training.contract import questions, signs
from training.contract.chat_messages import AnswerBegin, AnswerEnd, Generate, Token
from training.contract.messages import encode
from training.contract.process import ProcessIdentity
from training.contract.questions import Question
from training.contract.run_directory import RunDirectory

REQUEST = Generate(id=1, messages=[{"role": "user", "content": "who?"}], adapter=False)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    return run


def answer(run: RunDirectory, name: str, *messages: AnswerBegin | Token | AnswerEnd, torn: bytes = b"") -> None:
    with questions.answer_path(run, name).open("ab") as file:
        file.write(b"".join(map(encode, messages)) + torn)


def list_files(run: RunDirectory) -> list[str]:
    return [path.name for path in run.questions.iterdir()]


def test_a_question_is_found_in_its_turn_and_read_as_it_was_asked(run: RunDirectory) -> None:
    assert questions.list_questions(run) == []
    names = [questions.ask(run, REQUEST) for _ in range(3)]
    assert questions.list_questions(run) == names
    assert questions.read_question(run, names[0]) == Question(REQUEST, ProcessIdentity.current())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (run.questions, questions.question_path(run, names[0]))]
    assert modes == [0o700, 0o600]


def test_only_files_of_questions_count(run: RunDirectory, tmp_path: Path) -> None:
    name = questions.ask(run, REQUEST)
    for other in ("note.txt", "../escape.json", f".{name}.json.abc.tmp", f"{name}.jsonl", "1-a.json"):
        (run.questions / other).write_text("{}")
    assert questions.list_questions(run) == [name]
    run.questions.rename(tmp_path / "elsewhere")
    run.questions.symlink_to(tmp_path / "elsewhere")  # as in a run that was copied from anywhere
    assert questions.list_questions(run) == []
    questions.forget_unread(run)
    questions.delete_all(run)
    assert (tmp_path / "elsewhere" / f"{name}.json").exists()


def test_a_damaged_question_is_none(run: RunDirectory) -> None:
    name = questions.ask(run, REQUEST)
    for content in (b"", b"{", b"[]", b'{"request": {"type": "stop", "id": 1}}', b"[" * 100_000):
        questions.question_path(run, name).write_bytes(content)
        assert questions.read_question(run, name) is None


def test_nobody_answers_a_viewer_that_is_gone(run: RunDirectory) -> None:
    name, alive = questions.ask(run, REQUEST), questions.ask(run, REQUEST)
    gone = Question(REQUEST, ProcessIdentity(os.getpid(), 1.0))
    questions.question_path(run, name).write_bytes(msgspec.json.encode(gone))
    answer(run, alive, AnswerBegin(id=1, tokens=3))  # of an attempt that was killed
    assert questions.read_question(run, name) is None
    questions.forget_unread(run)
    assert list_files(run) == [f"{alive}.json"]  # it still waits
    questions.delete_all(run)
    assert not run.questions.exists()


def test_a_viewer_of_another_machine_waits_as_long_as_it_touches_its_question(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = questions.ask(run, REQUEST)
    path, far = questions.question_path(run, name), ProcessIdentity(1, 1.0, boot="another", host="another")
    path.write_bytes(msgspec.json.encode(Question(REQUEST, far)))
    assert questions.read_question(run, name) == Question(REQUEST, far)
    os.utime(path, (1.0, 1.0))
    assert questions.read_question(run, name) is None
    monkeypatch.setattr(signs, "SIGN_SECONDS", 0.01)
    monkeypatch.setattr(signs, "_files", set())  # another thread may touch those of other tests
    signs.keep_fresh(path)
    while questions.read_question(run, name) is None:
        time.sleep(0.01)


def test_a_conversation_that_is_too_long_is_not_written(run: RunDirectory) -> None:
    long = Generate(id=1, messages=[{"role": "user", "content": "x" * questions.MAX_BYTES}])
    with pytest.raises(questions.QuestionTooLong):
        questions.ask(run, long)
    assert not run.questions.exists()


def test_an_answer_is_read_line_by_line_as_it_grows(run: RunDirectory) -> None:
    name = questions.ask(run, REQUEST)
    assert questions.read_answer(run, name, 0) == ([], 0)
    begin, token, end = AnswerBegin(id=1, tokens=3, step=7), Token(id=1, text="Ho"), AnswerEnd(1, "eos", 2, 0.5)
    answer(run, name, begin, torn=encode(token)[:9])
    first, offset = questions.read_answer(run, name, 0)
    assert first == [begin]
    answer(run, name, torn=encode(token)[9:])
    answer(run, name, end)
    rest, offset = questions.read_answer(run, name, offset)
    assert rest == [token, end]
    assert questions.read_answer(run, name, offset) == ([], offset)


def test_the_end_of_an_answer_leaves_it_to_the_viewer_unless_it_was_withdrawn(run: RunDirectory) -> None:
    read, withdrawn = questions.ask(run, REQUEST), questions.ask(run, REQUEST)
    for name in (read, withdrawn):
        answer(run, name, AnswerEnd(1, "eos", 2, 0.5))
    questions.question_path(run, withdrawn).unlink()
    for name in (read, withdrawn):
        questions.finish(run, name)
    assert list_files(run) == [f"{read}.jsonl"]
    questions.withdraw(run, read)
    assert list_files(run) == []
