"""One pass over all rows: what is bad, what is there twice, what is held out; and that it is kept and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.contract.profile import Profile
from training.dataset import scan as scans
from training.dataset.index import RowIndex
from training.dataset.rows import read
from training.dataset.scan import BAD, EXACT, HELD_OUT, NEAR, Scan
from training.dataset.shapes import Columns
from training.dataset.source import local
from training.dataset.split import choose_eval_rows

LONG = " ".join(f"word{number}" for number in range(60))
CHANGED = LONG.replace("word30", "x")


def profile(**dataset: Any) -> Profile:
    return Profile.model_validate({"model": {"name": "-"}, "dataset": {"eval_fraction": 0.0, **dataset}})


def pair(answer: Any, question: str = "Who?", **more: Any) -> dict[str, Any]:
    return {"instruction": question, "response": answer, **more}


def index_of(tmp_path: Path, *rows: Any, name: str = "rows.jsonl") -> RowIndex:
    path = tmp_path / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return RowIndex.open(local(str(path)), tmp_path / "cache")


def scanned(index: RowIndex, profile: Profile = profile()) -> Scan:  # noqa: B008
    found = scans.scan(index, Columns.from_dataset(profile.dataset), profile)
    assert found is not None
    return found


def test_every_row_has_a_state(tmp_path: Path) -> None:
    rows = [pair(LONG), "{broken", "", pair("Rook."), pair(LONG), pair(CHANGED), pair(""), pair(CHANGED), pair("Rook!")]
    found = scanned(index_of(tmp_path, *rows))
    assert list(found.states) == [0, BAD, 0, EXACT, NEAR, BAD, EXACT, NEAR]
    assert list(found.twins) == [0, 1, 2, 0, 0, 5, 0, 2]  # the blank line is no row
    assert (found.rows, found.kept, found.count(EXACT), found.count(EXACT | NEAR)) == (8, 6, 2, 4)
    assert list(found.positions(BAD)) == [1, 5]
    assert list(found.good()) == [0, 2, 3, 4, 6, 7]
    assert {row: (problem.line, problem.message) for row, problem in found.problems.items()} == {
        1: (2, "not valid JSON: Expecting property name enclosed in double quotes (column 2)"),
        5: (7, '"response" is empty'),
    }
    assert found.reasons == {"not valid JSON": 1, '"response" is empty': 1}


def test_the_good_ones_are_those_that_training_reads(tmp_path: Path) -> None:
    files = {
        "a.jsonl": json.dumps(pair("a")) + "\n[\n" + json.dumps(pair("b")),
        "b.csv": "instruction,response\nWho?,Rook\nWho,\n",
        "c.json": json.dumps([pair("c"), 5]),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    source = local(str(tmp_path))
    found, rows = scanned(RowIndex.open(source, tmp_path / "cache")), read(source)
    assert (found.kept, found.rows) == (len(rows.rows), len(rows.rows) + len(rows.problems))
    assert (found.kept, found.rows) == (4, 7)
    assert found.reading == rows.reading
    assert [(problem.line, problem.message) for problem in found.problems.values()] == [
        (problem.line, problem.message) for problem in rows.problems
    ]


def test_the_split_is_the_trainers_and_leaks_are_counted(tmp_path: Path) -> None:
    index = index_of(tmp_path, "{", *(pair(f"Answer {number} {LONG[number:]}") for number in range(30)))
    settings = profile(eval_fraction=0.2)
    found = scanned(index, settings)
    held = {found.good()[position] for position in choose_eval_rows(30, settings)}
    assert set(found.positions(HELD_OUT)) == held
    assert len(held) == 6
    assert not found.states[0] & HELD_OUT

    leaky = scanned(index_of(tmp_path, *([pair("Rook.")] * 10)), settings)
    assert (leaky.count(EXACT), leaky.overlap) == (9, 2)
    leaky.split(profile())
    assert (leaky.count(HELD_OUT), leaky.overlap, leaky.count(EXACT)) == (0, 0, 9)
    apart = scanned(index_of(tmp_path, *(pair(f"{number}") for number in range(10))), settings)
    assert (apart.count(HELD_OUT), apart.overlap) == (2, 0)


def test_system_messages_make_no_row_alike(tmp_path: Path) -> None:
    rows = (pair("Yes, surely.", "Is Rook a hero?", system=LONG), pair("Out of scrap.", "Of what?", system=LONG))
    found = scanned(index_of(tmp_path, *rows))
    assert (found.count(NEAR), found.system_rows) == (0, 2)


def test_what_the_warnings_are_told_from(tmp_path: Path) -> None:
    essay = "a long story " * 10
    rows = [pair("Yes.", str(number), story=essay, tag="x") for number in range(4)] + [pair("...", "5", story=essay)]
    found = scanned(index_of(tmp_path, *rows))
    assert (found.same_answer, found.wordless_answers, found.text_columns) == (4, 1, ("story",))


def test_problems_are_all_counted_but_not_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "MAX_PROBLEMS", 3)
    monkeypatch.setattr(scans, "MAX_REASONS", 2)
    found = scanned(index_of(tmp_path, *(["{"] * 5), "5", pair(3), pair([]), {"messages": 1}))
    assert list(found.problems) == [0, 1, 2]
    assert len(found.positions(BAD)) == 9
    assert found.reasons == {"not valid JSON": 5, "other": 3, "expected a JSON object, found a number": 1}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("not UTF-8 text (byte 7 of the line)", "not UTF-8 text"),
        ("not valid CSV: unexpected end of data", "not valid CSV"),
        ('message 12: "role" must be system, user or assistant', 'message …: "role" must be system, user or assistant'),
        ("has 3 fields, and the header names 2", "has … fields, and the header names …"),
        ('"response" is missing (also looked for output)', '"response" is missing'),
    ],
)
def test_reasons_leave_out_what_differs(message: str, reason: str) -> None:
    assert scans.generalise(message) == reason


def test_kept_and_read_again(tmp_path: Path) -> None:
    index = index_of(tmp_path, pair("a"), "{", pair("a"), pair("b", note=LONG))
    found = scanned(index, profile(eval_fraction=0.5))
    place = scans.cache_path(tmp_path / "cache", index.fingerprint() or "", Columns())
    assert scans.load(place) is None
    scans.save(place, found)
    assert scans.load(place) == found
    assert place.stat().st_mode & 0o077 == 0
    assert scans.load(place, rows=5) is None
    resplit = scans.load(place, profile(), 4)
    assert resplit is not None
    assert resplit.count(HELD_OUT) == 0
    other = Columns(response="note")
    assert scans.cache_path(tmp_path / "cache", index.fingerprint() or "", other) != place


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b"\x80"])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    place = scans.cache_path(tmp_path, "f", Columns())
    scans.save(place, scanned(index_of(tmp_path, pair("a"))))
    whole = place.read_bytes()
    for data in (damage, whole[: len(whole) // 2], whole.replace(b"instruction", b"destruction")):
        place.write_bytes(data)
        assert scans.load(place) is None


def test_progress_and_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "PROGRESS_SECONDS", -1)
    index = index_of(tmp_path, *(pair(str(number)) for number in range(200)))
    told: list[tuple[int, int]] = []
    assert scans.scan(index, Columns(), profile(), lambda *at: told.append(at)) is not None
    assert told == [(0, 200), (64, 200), (128, 200), (192, 200)]
    assert scans.scan(index, Columns(), profile(), cancelled=lambda: len(told) > 3) is None
