"""A search finds the rows that have a text, however the file writes it, and no others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.row_files import opened

from training.dataset import lines

SAID = [
    {"instruction": "Wie überlebt Zoë?", "response": 'She says "run".\nThen 🧟 come.'},
    {"instruction": "ENERGY", "response": "spend energy"},
    {"instruction": "Über alles", "response": "tab\there"},
    {"instruction": "no", "response": "no"},
]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("energy", [1]),
        ("Energy", [1]),
        ("zoë", [0]),
        ("ZoË", []),  # only A to Z have two cases
        ("ber", [0, 2]),
        ("🧟 come", [0]),
        ('"run".\nThen', [0]),
        ('says "RUN"', [0]),
        ("tab\there", [2]),
        ('"instruction": "no', [3]),
        ("no", [3]),
        ("nothing of it", []),
        ("\ud800", []),
        ("", []),
    ],
)
def test_search(tmp_path: Path, text: str, found: Sequence[int], ascii_only: bool) -> None:
    index = opened(tmp_path, *[json.dumps(row, ensure_ascii=ascii_only).encode() + b" \n \n" for row in SAID])
    assert list(index.search(text)) == found
    assert list(index.search(text, start=1)) == [position for position in found if position >= 1]
    assert list(index.search(text, start=4)) == []


@given(st.lists(st.text(alphabet="abA ü", max_size=6), max_size=10), st.text(alphabet="aBü ", min_size=1, max_size=3))
def test_search_is_as_looking_into_every_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], text: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "SLICE", 4)
        index = opened(tmp_path_factory.mktemp("rows"), "\r\n".join(rows).encode())
        expected = [i for i in range(len(index)) if text.encode().lower() in index.text(i).lower()]
        assert list(index.search(text)) == expected


def test_a_search_can_be_cancelled_and_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SLICE", 8)
    index = opened(tmp_path, b"abc\n" * 10, b"abc\n" * 10)
    told: list[tuple[int, int]] = []
    assert len(list(index.search("b", progress=lambda *each: told.append(each)))) == 20
    assert told == [(done, 80) for done in range(8, 81, 8)]
    assert list(index.search("b", cancelled=lambda: True)) == []
    search = index.search("b", cancelled=lambda: len(seen) >= 3)
    seen: list[int] = []
    for position in search:
        seen.append(position)
    assert seen == [0, 1, 2, 3]  # to the end of its slice
    assert index.fingerprint(cancelled=lambda: True) is None
