"""The data screen shows what is learned and what the cut takes, finds rows, and never waits for what goes on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input

from codex_tui.app import CodexApp
from codex_tui.core import locations
from codex_tui.core.data_target import Target
from codex_tui.core.errors import EnvironmentMissing
from codex_tui.core.text import clean
from codex_tui.screens.data import DataScreen
from codex_tui.screens.data_text import listed
from codex_tui.screens.editor import EditorScreen
from codex_tui.widgets.hints import HintBar
from codex_tui.widgets.row_list import RowList
from codex_tui.widgets.row_view import as_seen, one_by_one, raw
from codex_tui.widgets.token_histogram import histogram
from tests.app.conftest import EVIL
from tests.support.data_worker import WordWorker
from tests.support.pilot import screen_text, settled, until

SIZE, NARROW = (120, 36), (80, 24)
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
PROFILE = '[model]\nname = "demo:llama"\nmax_seq_length = 40\n[dataset]\neval_fraction = 0.1\n'
TOPICS = ("roof", "dock", "tower", "yard", "gate", "bridge", "cellar", "garage", "mall", "lab")


def rows(count: int = 40) -> list[str]:
    """Among them two bad ones, a duplicate, one that is cut and one that loses its answer."""
    found = [
        {
            "instruction": f"What comes {number} at the {TOPICS[number % 10]}?",
            "response": f"Hold {TOPICS[number % 7]} {number}.",
            "source": f"guide {number}",
        }
        for number in range(count)
    ]
    found[4] = found[2]
    found[6]["response"] = " ".join(f"word{number}" for number in range(60))
    found[8]["instruction"] = " ".join(f"ask{number}" for number in range(50))
    texts = [json.dumps(row) for row in found]
    texts[10] = '{"instruction": "broken, "response": 1}'
    texts[12] = json.dumps({"instruction": "No answer here."})
    return texts


@pytest.fixture
def dataset(home: Path) -> Path:
    path = home / "rows.jsonl"
    path.write_text("\n".join(rows()) + "\n")
    return path


@pytest.fixture
def profile(home: Path) -> Path:
    path = locations.user_profiles() / "mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text(PROFILE)
    return path


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[WordWorker]:
    kind = type("Words", (WordWorker,), {"started": []})
    monkeypatch.setattr("codex_tui.core.workers.Worker", kind)
    monkeypatch.setattr("codex_tui.core.environment.find_python", lambda *a: Path("/usr/bin/python3"))
    monkeypatch.setattr("codex_tui.core.workers.interpreter_of", lambda run: Path("/usr/bin/python3"))
    return kind


def app_on(dataset: Path, profile: Path | None) -> CodexApp:
    names = [str(dataset)]
    return CodexApp(data=Target.of_profile(profile, names) if profile else Target.of_files(names))


def screen_of(pilot: Pilot[Any]) -> DataScreen:
    assert isinstance(pilot.app.screen, DataScreen)
    return pilot.app.screen


async def counted(pilot: Pilot[Any]) -> None:
    """All tokens are counted, and the row is here."""

    def ready() -> bool:
        view = screen_of(pilot).view
        return bool(view.overview and view.overview.tokens and view.reader and view.reader.row and not view.works)

    await until(pilot, ready)


async def see(pilot: Pilot[Any], *texts: str) -> str:
    await until(pilot, lambda: all(text in screen_text(pilot.app) for text in texts))
    return screen_text(pilot.app)


def pieces(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(len(text) - length)]


async def test_a_row_as_the_model_sees_it_raw_and_in_tokens(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        text = await see(pilot, "<|user|>What comes 0 at the roof?", "▌ learned")
        assert "▌ Hold roof 0. <|eot_id|>" in text  # the learned part has its sign
        assert "   <|user|>What" in text  # what is given has none
        await pilot.press("v")
        await see(pilot, "as the file has it", "guide 0", "source   ignored")
        await pilot.press("v")
        await see(pilot, "What │comes │0 │at │the │roof? │")
        await pilot.press("i")
        text = await see(pilot, "ids")
        assert any("▌" in row and "Hold" in row and " 8 " in row for row in text.splitlines())  # with its id
        assert {message["ids"] for message in worker.started[0].sent if message["type"] == "row"} == {False, True}
    assert worker.started[0].closed


async def test_the_cut_is_drawn_where_it_falls_and_moves_at_once(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("g", "7", "enter")
        text = await see(pilot, "Row 7 of 40", "cut at 40: 28 tokens are lost", "max_seq_length 40")
        lines = [row.split("│", 2)[-1] for row in text.splitlines()]
        at = next(number for number, row in enumerate(lines) if "┄┄ cut at" in row)
        assert any("▌" in row and "word" in row for row in lines[:at])
        assert all("┊" in row for row in lines[at + 1 :] if "word" in row)
        await pilot.press("right_square_bracket")
        await see(pilot, "if cut at 64 (the profile: 40)", "cut at 64: 4 tokens are lost")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "are lost" not in screen_text(pilot.app))
        await pilot.press("equals_sign", "8", "enter")
        await pilot.press("equals_sign", *"16", "enter")
        await see(pilot, "if cut at 16")
        await pilot.press("4")
        await see(pilot, "2 cut")
        await pilot.press("backspace")
        text = await see(pilot, "max_seq_length 40", "38 of 40 rows", "2 cut", "1 answer lost")
        assert "the profile:" not in text


async def test_filters_and_their_signs(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        for sign in (" 5 =", " 7 >", " 9 !", "11 ✗", "13 ✗"):
            await until(
                pilot, lambda sign=sign: {f"{sign} ", f"{sign}e"} & {*pieces(screen_text(pilot.app), len(sign) + 1)}
            )
        screen = screen_of(pilot)
        for key, wanted in (("b", [10, 12]), ("c", [6, 8]), ("d", [2, 4])):
            await pilot.press(key)
            await until(pilot, lambda wanted=wanted: list(screen.view.places) == wanted)
            assert screen.view.row in wanted  # one stands on a row of the list
            assert screen.query_one(RowList).count == 2
        await pilot.press("l")
        await until(pilot, lambda: list(screen.view.places)[:2] == [6, 8])
        assert len(screen.view.places) == 38
        await pilot.press("b")
        await see(pilot, "line 11  not valid JSON: Expecting ','", 'line 13  "response" is missing', "1 of 2")
        await pilot.press("a", "f")
        await until(pilot, lambda: screen.view.kind == "bad")


async def test_of_several_files_each_row_names_its_own(home: Path, profile: Path, worker: Any) -> None:
    folder = home / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text("question,answer\nWho?,Rook\nWho,else,now\n")
    (folder / "b.json").write_text('[{"question": "Where?", "answer": "Here"},\n {"question": "Why?"}]')
    async with app_on(folder, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "folder, 2 files · 4 rows", "Who? · Rook", "Where? · Here", "a.csv, line 2")
        await pilot.press("b")
        await see(pilot, "a.csv, line 3  has", "b.json, line 2", "✗ has 3 fields, and the header names 2")


async def test_search_finds_while_one_types_and_escape_ends_it(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        view = screen_of(pilot).view
        await pilot.press("slash", *"COMES 1")
        await until(pilot, lambda: list(view.places) == [1, *range(11, 20)] or len(view.places) == 9)
        await see(pilot, "with “COMES 1”")
        await pilot.press("3", "enter", "down")
        await until(pilot, lambda: list(view.places) == [13])
        await see(pilot, "Row 14 of 40")
        await pilot.press("escape")
        await until(pilot, lambda: len(view.places) == 40)
        assert view.row == 13  # one stays where one was
        await pilot.press("slash", *"nowhere")
        await see(pilot, "No row has “nowhere”.")


async def test_search_within_a_filter(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        view = screen_of(pilot).view
        await pilot.press("l", "slash", *"word5", "enter")
        await until(pilot, lambda: list(view.places) == [6] and not view.works)
        await pilot.press("a")
        await until(pilot, lambda: list(view.places) == [6] and view.kind == "all")


async def test_the_overview_says_what_all_come_to(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        await pilot.press("4")
        text = await see(pilot, "38 of 40 rows kept", "max_seq_length 40 ┄┄")
        for expected in ("not valid JSON", "longer than 40 tokens", "lose their whole answer", "an epoch",
                         "used instruction, response", "ignored source", "p50", "p99", "line 11", "→"):  # fmt: skip
            assert expected in text


async def test_the_overview_accounts_for_every_bad_row(home: Path, profile: Path, worker: Any) -> None:
    bad = ["{", "[]", '{"question": "a"}', '{"answer": "a"}', '{"question": "", "answer": "a"}',
           '{"question": "a", "answer": ""}', '{"question": "a", "answer": 5}', '{"messages": []}']  # fmt: skip
    good = [json.dumps({"instruction": f"Who is {n}?", "response": f"Rook {n}."}) for n in range(4)]
    path = home / "bad.jsonl"
    path.write_text("\n".join([*good, *bad]) + "\n")
    async with app_on(path, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        await pilot.press("4")
        await see(pilot, "4 kept, 8 dropped", "2  for other reasons; b lists them all")


async def test_a_small_terminal_has_the_list_or_the_row(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=NARROW) as pilot:
        await counted(pilot)
        assert "▌ learned" not in screen_text(pilot.app)
        await pilot.press("down", "enter")
        await see(pilot, "Row 2 of 40", "▌ learned")
        assert "Rows: all" not in screen_text(pilot.app)
        await pilot.press("right")
        await see(pilot, "Row 3 of 40", "What comes 2")
        await pilot.press("escape")
        await see(pilot, "Rows: all", "3 of 40")
        await pilot.resize_terminal(*SIZE)
        await see(pilot, "Rows: all", "Row 3 of 40")


async def test_rows_are_there_while_tokens_are_counted(dataset: Path, profile: Path, worker: Any) -> None:
    worker.holds_back = True
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "Counting tokens", "25 %", "t stops", "What comes 0 at the roof?")
        await pilot.press("down")
        await see(pilot, "Row 2 of 40", "▌ Hold dock 1.")
        await pilot.press("c")
        await see(pilot, "Not known yet")
        await pilot.press("a", "4")
        await see(pilot, "what they come to follows")
        await pilot.press("t")
        await until(pilot, lambda: "Counting tokens" not in screen_text(pilot.app))
        assert worker.started[0].sent[-1] == {"type": "cancel"}
        worker.started[0].go_on()
        await see(pilot, "38 of 40 rows kept")


async def test_a_worker_that_dies_is_told_and_the_rows_stay(dataset: Path, profile: Path, worker: Any) -> None:
    worker.holds_back = True
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "Counting tokens")
        worker.started[0]._say(type="error", id=None, message="The worker ended by signal SIGKILL.", hint="\x1b[2J")
        await see(pilot, "The worker ended by signal SIGKILL.", "␛[2J", "What comes 0 at the roof?")
        await until(pilot, lambda: "Counting tokens" not in screen_text(pilot.app))
        await pilot.press("down")
        await see(pilot, "Row 2 of 40", "What comes 1 at the dock?")


async def test_without_a_training_environment_the_raw_rows_are_browsed(
    dataset: Path, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Path:
        raise EnvironmentMissing("The training environment is not there yet.", "Build it: codex-tui setup")

    monkeypatch.setattr("codex_tui.core.environment.find_python", missing)
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "codex-tui setup", "What comes 0 at the roof?", "as the file has it")
        await pilot.press("b")
        await see(pilot, "not valid JSON")  # what needs no tokens is known all the same
        await pilot.press("c")
        await see(pilot, "The tokens have not been counted.")
        await pilot.press("4")
        await see(pilot, "38 of 40 rows kept")


async def test_without_a_profile_it_says_what_a_profile_is_for(dataset: Path) -> None:
    async with app_on(dataset, None).run_test(size=SIZE) as pilot:
        await see(pilot, "codex-tui data view FILE --profile P", "What comes 0 at the roof?")
        assert "[ ]" not in pilot.app.screen.query_one(HintBar).named
        await pilot.press("4")
        await see(pilot, "What the rows come to depends on a profile", "38 can be learned from")


async def test_files_that_can_not_be_read_and_have_nothing(home: Path, profile: Path, worker: Any) -> None:
    empty, broken = home / "empty.jsonl", home / "broken.json"
    empty.write_text("\n")
    async with app_on(empty, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "The dataset has no rows.")
        await pilot.press("down", "enter", "4", "slash", "x", "escape", "l", "g", "5", "enter")
        await see(pilot, "0 rows")
    broken.write_bytes(b'[{"instruction": "\xff"}]')
    async with app_on(broken, None).run_test(size=SIZE) as pilot:
        await see(pilot, "is not UTF-8 text")


async def test_a_huge_row_is_shown_in_part_and_says_so(home: Path, profile: Path, worker: Any) -> None:
    path = home / "huge.jsonl"
    words = "wörd " * 300_000
    path.write_text(json.dumps({"instruction": "Tell all.", "response": words}, ensure_ascii=False) + "\n")
    async with app_on(path, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("2", "tab", "end")
        await until(pilot, lambda: "wörd" in screen_text(pilot.app))
        assert "1,400,000 characters are not shown" in pilot.app.screen.query_one("#row").plain
        await pilot.press("3")
        await until(pilot, lambda: "tokens are not shown" in pilot.app.screen.query_one("#row").plain)


async def test_two_million_rows_scroll_at_once(home: Path) -> None:
    path = home / "many.jsonl"
    path.write_text("".join(f'{{"instruction":"q{number}","response":"a"}}\n' for number in range(300_000)))
    async with app_on(path, None).run_test(size=SIZE) as pilot:
        await see(pilot, "q0 · a")
        await until(pilot, lambda: screen_of(pilot).view.complete)
        await pilot.press("end")
        await see(pilot, "q299999 · a", "300,000 of 300,000")
        await pilot.press("g", *"150000", "enter")
        await see(pilot, "q149999 · a")
        assert len(screen_of(pilot).view._lines) < 500  # only those that were in sight were read


async def test_editing_the_profile_moves_the_cut(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("down", "right_square_bracket", "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await pilot.press("s")
        await until(pilot, lambda: "max_seq_length = 64" in profile.read_text())
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await counted(pilot)
        text = await see(pilot, "max_seq_length 64", "Row 2 of 40")
        assert "the profile:" not in text
    assert [one.profile.model.max_seq_length for one in worker.started] == [40, 64]
    assert all(one.closed for one in worker.started)


async def test_it_opens_from_the_picker_and_from_the_cockpit(home: Path, make_run: Any, worker: Any) -> None:
    app = CodexApp(make_run())
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await see(pilot, "run zombies-1", "440 rows")
        await pilot.press("escape", "p")
        await settled(pilot)
        await pilot.press("down", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await see(pilot, "profile small-card")
        await pilot.press("question_mark")
        await see(pilot, "Data")
        await pilot.press("escape", "ctrl+p")
        await until(pilot, lambda: bool(pilot.app.screen.query(Input)))
        await pilot.press(*"longest")
        await see(pilot, "The longest rows first")


async def test_with_the_real_worker(home: Path, trainer_python: Path, dataset: Path) -> None:
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(trainer_python))}\n")
    profile = home / "real.toml"
    profile.write_text(PROFILE)
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: screen_of(pilot).view.overview and screen_of(pilot).view.overview.tokens, tries=3000)
        await counted(pilot)
        text = await see(pilot, "<|start_header_id|>", "▌ Hold roof 0.<|eot_id|>", "learned")
        assert "user" in text
        view = screen_of(pilot).view
        assert view.overview.kept == 38
        whole = view.reader.row["tokens"]
        await pilot.press("equals_sign", *str(whole - 2), "enter")
        await see(pilot, f"cut at {whole - 2}: 2 tokens are lost")


# Any Unicode, control characters, markup
HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from(list("\x1b\x07\x9b\u202e[]/@=|<>"))), max_size=60
) | st.sampled_from([EVIL, "[bold red]x[/]", "[/INST]", "\x9b31m", "\u202eabc", "<|eot_id|>[/]", "\\[b]"])
CONTROLS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n"}


@given(question=HOSTILE, answer=HOSTILE, key=HOSTILE)
def test_whatever_a_row_has_is_shown_as_text(question: str, answer: str, key: str) -> None:
    message = {
        "segments": [{"text": question}, {"text": answer, "learned": True}, {"text": key, "cut": True}],
        "tokens": 9, "start": 3, "learned_tokens": 3, "max_seq_length": 6, "truncated": True,
        "ids": [[1, question], [2, answer], [3, key]],
    }  # fmt: skip
    values = {key: question, "response": answer, "messages": [{"role": key, "content": answer}], "more": [key, 1.5]}
    shown = [*as_seen(message), *one_by_one(message, False), *one_by_one(message, True), *raw(values, ["response"])]
    text = "\n".join(content.plain for content in shown)
    assert not set(text) & CONTROLS
    for part in (question, answer, key):
        for row in clean(part, newlines=True).split("\n"):
            assert row in text  # markup is neither obeyed nor swallowed
    for content in shown:
        assert all(isinstance(span.style, str) and not span.style.startswith("@") for span in content.spans)


@given(question=HOSTILE, answer=HOSTILE)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_row_has_the_screen_is_harmless(home: Path, question: str, answer: str) -> None:
    path = home / "hostile.jsonl"
    row = {"instruction": question, "response": answer}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    async with app_on(path, None).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: screen_of(pilot).view.complete and "indexing" not in screen_of(pilot).view.works)
        await pilot.press("2")
        await see(pilot, "1 of 1")
        assert not set(screen_text(pilot.app)) & CONTROLS
        assert list(screen_of(pilot).view.index.record(0).raw or row) == ["instruction", "response"]  # untouched


def test_a_line_of_the_list_is_one_line() -> None:
    line = listed(SimpleNamespace(row=3, signs="✗", words="a\nb\x1b[2J", problem=""), 5)
    assert line.plain == "    4 ✗   a↵b␛[2J"


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=200), st.integers(16, 6000))
def test_the_histogram_counts_every_row_once(tokens: list[int], limit: int) -> None:
    drawn = [line.plain for line in histogram(sorted(tokens), limit, {"p50": 1}, 80)]
    bars = [line.split() for line in drawn if "max_seq_length" not in line]
    assert sum("max_seq_length" in line for line in drawn) == 1
    counted = sum(
        next(int(part.replace(",", "")) for part in reversed(bar) if part.replace(",", "").isdigit()) for bar in bars
    )
    assert counted == len(tokens)
    assert all(len(line) <= 80 for line in drawn)


def snapped(*keys: str, then: str) -> Any:
    async def act(pilot: Pilot[Any]) -> None:
        await counted(pilot)
        await pilot.press(*keys)
        await see(pilot, then)
        await until(pilot, lambda: not screen_of(pilot).view.works and screen_of(pilot).view.reader.row)

    return act


@SIZES
@pytest.mark.parametrize(
    ("keys", "then"),
    [
        (("g", "7", "enter", "enter"), "cut at 40"),
        (("down", "3", "i"), "ids"),
        (("4",), "rows kept"),
        (("b",), "not valid JSON"),
    ],
    ids=["cut", "ids", "overview", "bad"],
)
def test_pictures(
    snap_compare: Any,
    dataset: Path,
    profile: Path,
    worker: Any,
    keys: tuple[str, ...],
    then: str,
    size: tuple[int, int],
) -> None:
    assert snap_compare(app_on(dataset, profile), terminal_size=size, run_before=snapped(*keys, then=then))
