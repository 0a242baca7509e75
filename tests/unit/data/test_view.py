"""What the data screen shows, without the screen: rows while they are found, filters, the search, the cut."""

from __future__ import annotations

import asyncio
import json
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from support.fake_inspect import WordWorker

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, EnvironmentMissing
from codex_tui.data.row_text import MAX_TEXT_LENGTH, MAX_WORDS_LENGTH, find_first_words, format_plain, truncate_middle
from codex_tui.data.target import Target
from codex_tui.data.view import DataView
from training.contract.inspect_messages import StatsReady
from training.contract.run_directory import RunDirectory
from training.dataset import kept, scan
from training.dataset.index import RowIndex

PROFILE = '[model]\nname = "demo:llama"\nmax_seq_length = 32\n'


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("codex_tui.workers.process.Worker", type("Words", (WordWorker,), {"started": []}))
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda *a: Path("/usr/bin/python3"))


def without_python(*_: object) -> Path:
    raise EnvironmentMissing("There is none.")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE)
    return path


def write(path: Path, count: int = 20) -> Path:
    rows = [json.dumps({"instruction": f"q{number}", "response": "a " * (1 + number)}) for number in range(count)]
    rows[3] = "{broken"
    path.write_text("\n".join(rows))
    return path


async def until(reached: Callable[[], object]) -> None:
    while not reached():  # pytest-timeout ends a wait in vain
        await asyncio.sleep(0.01)


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Of the rows only the first are found until this is set."""
    go_on, build = Event(), RowIndex.build

    def slowly(index: RowIndex, progress: object, cancelled: object) -> bool:
        stops = iter([False, False])
        build(index, progress, lambda: next(stops, True))  # type: ignore[arg-type]
        go_on.wait(30)
        return build(index, progress, cancelled)  # type: ignore[arg-type]

    monkeypatch.setattr(RowIndex, "build", slowly)
    return go_on


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"instruction":"q{number}","response":"a"}}\n' for number in range(200_000)))
    return path


async def test_rows_can_be_read_before_all_are_found(many: Path, go_on: Event) -> None:
    view = DataView(Target.from_files([str(many)]), lambda: None)
    await view.start()
    await until(lambda: view.rows.count)
    assert not view.rows.complete
    assert view.rows.preview(0).words == "q0 · a"
    last = view.rows.count - 1
    await view.rows.go_to(10**9)
    assert view.rows.current == last
    assert "indexing" in view.works
    go_on.set()
    await until(lambda: view.rows.complete and "indexing" not in view.works)
    assert view.rows.count == 200_000
    await view.close()


async def test_a_search_goes_on_among_rows_that_are_found_later(
    many: Path, go_on: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tui.data.view.MAX_ROWS_TOKENISED_UNASKED", 0)  # no scan comes and looks once more
    view = DataView(Target.from_files([str(many)]), lambda: None)
    await view.start()
    await until(lambda: view.rows.count)
    view.rows.search("q199999")
    await until(lambda: "searching" not in view.works)
    assert list(view.rows.listed) == []
    go_on.set()
    await until(lambda: list(view.rows.listed) == [199_999])
    await view.close()


async def test_a_scan_that_comes_before_the_rows_are_counted_is_kept(
    tmp_path: Path, profile: Path, many: Path, go_on: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tui.data.view.MAX_ROWS_TOKENISED_UNASKED", 0)
    monkeypatch.setattr("codex_tui.environment.build.find_python", without_python)  # no worker, which would wait too
    whole = scan.Scan(bytearray(200_000), array("I", range(200_000)))
    scan.save(tmp_path / "a.scan", whole)
    view = DataView(Target.from_profile(profile, [str(many)]), lambda: None)
    await view.start()
    view._hear(StatsReady(scan=str(tmp_path / "a.scan"), lengths=None))
    await asyncio.sleep(0.3)
    go_on.set()
    await until(lambda: view.rows.states)
    await view.close()


async def test_what_is_asked_before_there_is_a_reader_is_not_forgotten(tmp_path: Path, profile: Path) -> None:
    view = DataView(Target.from_profile(profile, [str(write(tmp_path / "rows.jsonl"))]), lambda: None)
    await view.set_ids(True)
    await view.set_limit(16)
    await view.start()
    assert view.reader
    assert (view.reader.ids, view.reader.limit) == (True, 16)
    await view.close()


async def test_a_filter_that_waits_for_tokens_is_empty_until_they_are_counted(tmp_path: Path, profile: Path) -> None:
    view = DataView(Target.from_profile(profile, [str(write(tmp_path / "rows.jsonl"))]), lambda: None)
    view.rows.filter("cut")
    assert (view.rows.filtering, list(view.rows.listed)) == (True, [])
    await view.start()
    await until(lambda: view.overview and view.overview.tokens and not view.rows.filtering)
    assert view.rows.states and view.rows.states.lengths
    wanted = [
        row for row, tokens in zip(view.rows.states.good, view.rows.states.lengths.longest, strict=True) if tokens > 32
    ]
    assert list(view.rows.listed) == wanted == []
    await view.set_limit(10)
    await until(lambda: len(view.rows.listed))
    assert [view.rows.states.signs(row, 10)[0] for row in view.rows.listed] == [">"] * len(view.rows.listed)
    await until(lambda: view.overview and view.overview.truncated == len(view.rows.listed))
    assert view.own_limit == 32  # looked at, not saved
    view.rows.filter("longest")
    await until(lambda: len(view.rows.listed) == 19)
    assert view.rows.listed[0] == 19
    await view.close()


async def test_the_usual_lengths_have_the_profiles_own_among_them(tmp_path: Path, profile: Path) -> None:
    profile.write_text(PROFILE.replace("32", "1000"))
    view = DataView(Target.from_profile(profile, [str(write(tmp_path / "rows.jsonl"))]), lambda: None)
    assert (view.next_limit(-1), view.next_limit(1)) == (768, 1024)
    view.rows.set_limit(1024)
    assert view.next_limit(-1) == 1000


async def test_a_search_is_left_for_the_next(tmp_path: Path) -> None:
    view = DataView(Target.from_files([str(write(tmp_path / "rows.jsonl"))]), lambda: None)
    await view.start()
    await until(lambda: view.rows.complete and not view.works)
    for text in ("q", "q1", "q17"):
        view.rows.search(text)
    await until(lambda: not view.works)
    assert list(view.rows.listed) == [17]
    assert (view.rows.current, view.rows.place) == (17, 0)
    view.rows.search("")
    assert len(view.rows.listed) == 20
    await view.close()


async def test_the_config_of_a_profile_is_its_owners_alone(tmp_path: Path, profile: Path) -> None:
    target = Target.from_profile(profile, [str(write(tmp_path / "rows.jsonl"))])
    place = target.prepare_worker_target()
    assert place and place.stat().st_mode & 0o777 == 0o600
    assert place.is_relative_to(locations.cache_home())
    config = json.loads(place.read_text())
    assert config["files"] == [str(tmp_path / "rows.jsonl")]
    assert config["profile"]["model"]["max_seq_length"] == 32


def test_of_the_configs_only_the_newest_are_kept(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_FILES", 3)
    places = []
    for length in range(40, 45):
        profile.write_text(PROFILE.replace("32", str(length)))
        places.append(Target.from_profile(profile, ["demo:zombie-waves"]).prepare_worker_target())
        os.utime(places[-1], (length, length))
    again = Target.from_profile(profile, ["demo:zombie-waves"]).prepare_worker_target()
    assert again == places[-1]
    assert sorted(again.parent.iterdir()) == sorted(places[2:])


async def test_what_was_scanned_is_known_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = str(write(tmp_path / "rows.jsonl"))
    for _ in ("scanned", "kept"):
        view = DataView(Target.from_files([rows]), lambda: None)
        await view.start()
        await until(lambda view=view: view.rows.states and not view.works)
        assert list(view.rows.states.scan.problems) == [3]
        await view.close()
        monkeypatch.setattr(scan, "scan", lambda *_: pytest.fail("scanned again"))


def test_several_files_and_what_they_are_called(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / name)) for name in ("a.jsonl", "b.jsonl")]
    target = Target.from_files(paths)
    assert [str(path) for path in target.source.files] == paths
    assert target.label == "a.jsonl and 1 more"
    assert Target.from_files([str(tmp_path)]).label == f"{tmp_path.name}, 2 files"
    assert Target.from_files(paths[:1]).label == "a.jsonl"
    assert Target.from_files(["demo:zombie-waves"]).label == "demo:zombie-waves"


def test_what_can_not_be_looked_at(tmp_path: Path, profile: Path) -> None:
    for find in (
        lambda: Target.from_files([str(tmp_path / "nowhere.jsonl")]),
        lambda: Target.from_profile(profile),  # names no dataset
        lambda: Target.from_run(RunDirectory(tmp_path / "norun")),
    ):
        with pytest.raises(BadInput):
            find()


def test_the_first_words_of_every_shape() -> None:
    assert find_first_words(
        {"messages": [{"role": "user", "content": "Hi\n there"}, {"role": "assistant", "content": "Yes"}]}
    ) == ("Hi there · Yes")
    assert find_first_words({"conversations": [{"from": "human", "value": "Hi"}]}) == "Hi"
    assert find_first_words({"a": None, "b": 3, "c": {"d": ["x"]}}) == "3 · x"
    assert len(find_first_words({"a": "x" * 10_000, "b": "y" * 10_000})) <= MAX_WORDS_LENGTH
    deep: object = "end"
    for _ in range(500):
        deep = [deep]
    assert find_first_words(deep) == ""


def test_a_huge_text_is_cut_in_the_middle_and_says_so() -> None:
    text = "a" * MAX_TEXT_LENGTH + "z" * MAX_TEXT_LENGTH
    assert truncate_middle("short") == "short"
    assert truncate_middle(text).startswith("aaa")
    assert truncate_middle(text).endswith("zzz")
    assert f"{MAX_TEXT_LENGTH:,} characters are not shown" in truncate_middle(text)


def test_turns_read_as_turns() -> None:
    assert format_plain([{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Yes"}]) == "user: Hi\ngpt: Yes"
    thought = {"role": "assistant", "content": "The dock.", "reasoning_content": "One door."}
    assert format_plain([thought]) == "assistant: One door.\nThe dock."
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find"}}]}
    assert format_plain([called]) == 'assistant: [{"function": {"name": "find"}}]'
    assert format_plain([]) == "[]"
    assert format_plain({"é": 1}) == '{"é": 1}'
