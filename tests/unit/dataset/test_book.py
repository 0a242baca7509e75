"""A question book: what it may hold, and everything that is wrong with it at once."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from training.contract.judgement import Condition
from training.dataset import book
from training.dataset.book import DEMO_BOOK_FILE, BookDamaged, format_book, read_book
from training.dataset.source import DEMO_FILE

GOOD = {"id": "a", "question": "Which weapon?", "must": "Scattergun"}


def write(path: Path, *rows: Any) -> Path:
    texts = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("\n".join(texts) + "\n")
    return path


def find_faults(path: Path) -> list[str]:
    with pytest.raises(BookDamaged) as caught:
        read_book(path)
    return [str(fault) for fault in caught.value.faults]


def test_every_form_of_a_question_is_read(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Which weapon?"},
    ]
    path = write(
        tmp_path / "book.jsonl",
        GOOD,
        "",
        {"id": 7, "messages": turns, "must": [{"any": ["one", "1"]}, {"re": r"\bgun"}], "must_not": ["pistol"]},
        {"question": "Why?", "reference": "Because.", "tags": ["builds", "builds", "boss"]},
        {"question": "How?", "reference": "So.", "tags": "one"},
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    first, second, third, fourth = read_book(path).questions
    assert (first.id, first.text, first.must) == ("a", "Which weapon?", (Condition(any=("Scattergun",)),))
    assert second.must == (Condition(any=("one", "1")), Condition(re=r"\bgun"))
    assert (second.id, second.text, second.messages) == ("7", "Hi\nWhich weapon?", turns)
    assert (third.id, third.line, third.tags) == ("line 4", 4, ("builds", "boss"))
    assert fourth.tags == ("one",)
    assert [question.has_marks for question in (first, second, third, fourth)] == [True, True, False, False]


def test_all_faults_are_told_at_once_with_line_and_field(tmp_path: Path) -> None:
    user = {"role": "user", "content": "Hi"}
    path = write(
        tmp_path / "book.jsonl",
        {"id": "a", "qestion": "Which?", "must": "x"},
        {"id": "b", "question": "Which?", "must": {"re": "(gun"}},
        {"id": "b", "question": " ", "must": []},
        "{broken",
        {"id": "c", "question": "Which?", "messages": [user], "must": "x"},
        {"id": "d", "messages": [{"role": "assistant", "content": "Hi"}], "must": "x"},
        {"id": "e", "question": "Which?"},
        {"id": "f", "question": "Which?", "must": {"ani": ["x"]}},
        {"id": "g", "question": "Which?", "must": ["x", 5], "tags": [3]},
        {"id": "h", "question": "Which?", "must": "Scattergun", "reference": "The Scatergun."},
        {"id": "i", "question": "Which?", "must": {"any": []}},
        [1],
    )
    assert find_faults(path) == [
        "line 1, qestion: unknown field; did you mean question?",
        "line 1, question: missing",
        "line 2, must: is no regular expression: missing ), unterminated subpattern at position 0",
        "line 3, question: is empty",
        "line 3, must: must have 1 to 50 conditions",
        'line 3, id: "b" is also the id of line 2',
        "line 4: not valid JSON: Expecting property name enclosed in double quotes (column 2)",
        "line 5, question: give question or messages, not both",
        "line 6, messages: must end with the user's message, which the model answers",
        "line 7, must: missing: say what the answer must contain, or give a reference",
        'line 8, must: must be a text, {"any": ["…", "…"]} or {"re": "…"}; did you mean any?',
        "line 9, must 2: must be text, found a number",
        "line 9, tags: must be text, found a number",
        "line 10, reference: the right answer itself fails must",
        'line 11, must: must be a text, {"any": ["…", "…"]} or {"re": "…"}',
        "line 12: expected a JSON object, found a list",
    ]


def test_a_file_that_is_no_book_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "book.jsonl"
    assert find_faults(path) == ["can't be read: No such file or directory"]
    assert find_faults(tmp_path) == ["can't be read: it is not a file"]
    path.write_text("\n \n")
    assert find_faults(path) == ["has no questions"]
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + json.dumps(GOOD).encode("utf-16"))
    assert find_faults(path)[0].startswith("line 2: not UTF-8 text (byte 1")
    monkeypatch.setattr(book, "MAX_QUESTIONS", 1)
    write(path, GOOD, GOOD | {"id": "b"})
    assert find_faults(path) == ["has 2 questions; a book has 1 at most"]
    monkeypatch.setattr(book, "MAX_BYTES", 10)
    assert find_faults(path) == ["can't be read: it is larger than 0 MiB"]


def test_an_endless_regular_expression_is_found_with_its_reference(tmp_path: Path) -> None:
    endless = {"re": "(a+)+$"}
    path = write(tmp_path / "book.jsonl", GOOD | {"must": endless, "reference": "a" * 40 + "b"})
    assert find_faults(path) == ["line 1, must: a regular expression needs more than a second"]


def test_a_formatted_book_is_the_same_book(tmp_path: Path) -> None:
    questions = read_book(DEMO_BOOK_FILE).questions
    path = tmp_path / "copy.jsonl"
    path.write_text(format_book(questions))
    assert read_book(path).questions == questions


def test_the_shipped_book_asks_what_stands_in_the_rows_and_what_does_not() -> None:
    questions = read_book(DEMO_BOOK_FILE).questions
    assert len(questions) == 40
    assert Counter(tag for question in questions for tag in question.tags) == {
        "weapon priority": 16,
        "stage bosses": 16,
        "builds": 8,
    }
    rows = [json.loads(line) for line in DEMO_FILE.read_text().splitlines()]
    learned = {row["instruction"] for row in rows}
    answers = {row["response"] for row in rows}
    assert sum(question.text in learned for question in questions) == 24
    assert all(question.reference in answers for question in questions)
    assert all(question.has_marks for question in questions)
    assert not [question.id for question in questions if re.search(r"\s$", question.text)]
