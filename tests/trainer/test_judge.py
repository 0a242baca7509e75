"""`codex-tui judge` on the demo, from the command to the file: the real worker, the real model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.planted_rows import WRONG, write_planted_rows
from support.training_runs import Talk, Trainer, demo_profile, events

from codex_tui.cli import main
from codex_tui.judge.journal import NAME
from training.contract import judgement_file
from training.contract.judgement import Judgement
from training.contract.run_directory import RunDirectory
from training.dataset.book import read_book


@pytest.fixture(scope="module")
def runs(trainer: Trainer, demo: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the runs of a home with a copy of the demo, since a judgement writes into the run."""
    home = tmp_path_factory.mktemp("judge")
    (home / "config").mkdir()
    (home / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(trainer.python))}\n")
    shutil.copytree(demo.path, home / "data" / "runs" / "demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEX_TUI_HOME", str(home))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield home / "data" / "runs"


@pytest.fixture
def ask(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `codex-tui judge … --json` as a person does, and returns what it prints."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(runs.parents[1]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(["judge", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture(scope="module")
def first(runs: Path) -> Judgement:
    """The judgement of the demo with the shipped book, made once for the tests of this module."""
    assert main(["judge", "demo"]) == 0
    return judgement_file.read(runs / "demo" / "judgements" / "demo-zombie-waves.json")


def test_the_adapter_passes_what_it_learned_and_little_else(first: Judgement, ask: Callable[..., Any]) -> None:
    told = ask("demo")
    assert (told["run"], told["against"], told["book"], told["questions"]) == ("demo", "base", "demo:zombie-waves", 40)
    assert (told["base"]["passes"], told["known"]["questions"], told["unseen"]["questions"]) == (0, 24, 16)
    assert told["known"]["adapter"]["passes"] >= 22
    assert told["unseen"]["adapter"]["passes"] <= 8
    assert told["adapter"]["passes"] == told["known"]["adapter"]["passes"] + told["unseen"]["adapter"]["passes"]
    assert told["adapter"]["chrf"] > 50 > 20 > told["base"]["chrf"]
    assert told["adapter"]["loss"] < 1 < 4 < told["base"]["loss"]
    passes, loss = told["differences"]["passes"], told["differences"]["loss"]
    assert passes["estimate"] == told["adapter"]["passes"] == told["wins"]
    assert 10 < passes["low"] < passes["estimate"] < passes["high"] < 40
    assert passes["p"] < 1e-4
    assert loss["high"] < -3
    assert loss["estimate"] == pytest.approx(told["adapter"]["loss"] - told["base"]["loss"])
    assert {tag: group["questions"] for tag, group in told["tags"].items()} == {
        "weapon priority": 16,
        "stage bosses": 16,
        "builds": 8,
    }
    counts = told["adapter"]["passes"], passes["low"], passes["high"]
    assert told["conclusions"][0] == (
        f"40 questions: base passes none, the adapter {counts[0]}: {counts[0]} more, 95 % between "
        f"{round(counts[1])} and {round(counts[2])}."
    )
    trained, unseen = told["known"]["adapter"]["passes"] / 24, told["unseen"]["adapter"]["passes"] / 16
    assert told["conclusions"][1].startswith("24 of them stand in the training rows: base passes none, the adapter ")
    assert told["conclusions"][2].startswith("16 are unseen: base passes none, the adapter ")
    shares = f"passes {trained:.0%} of the trained questions and {unseen:.0%} of the unseen".replace("%", " %")
    assert shares in told["conclusions"][3]


def test_base_answered_without_the_adapter(first: Judgement, runs: Path, trainer: Trainer) -> None:
    assert first.proof.off == 0
    assert first.proof.on > 0.5
    off, on, refused, fitting = trainer.run_program("judging", "sabotage", str(runs / "demo"))
    assert off == 0
    assert on > 0.5
    assert refused.startswith("The base model's answers can't be trusted: with the adapter switched off, its logits ")
    assert fitting == [32, 1, 5, 12, 32]


def test_batched_answers_of_the_adapter_are_those_of_the_chat(
    first: Judgement, runs: Path, talk: Callable[..., Talk]
) -> None:
    worker = talk("chat", str(runs / "demo"))
    worker.until("ready", "error")
    chosen = first.answers[:4] + first.answers[-4:]
    for one in chosen:  # base, a random model, has several likeliest tokens, and rounding chooses
        assert worker.answer(one.question.text, max_new_tokens=first.max_new_tokens) == one.adapter.answer.text
    assert all(one.adapter.answer.ended == "eos" for one in chosen)


def test_nothing_is_asked_twice_and_a_killed_judgement_goes_on(
    first: Judgement, runs: Path, ask: Callable[..., Any]
) -> None:
    journal = runs / "demo" / "judgements" / NAME
    whole = journal.read_bytes()
    before = ask("demo")
    assert journal.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:50]) + lines[50][:10])  # killed while it wrote
    again = ask("demo")
    assert again["conclusions"] == before["conclusions"]
    for side in ("adapter", "base"):
        assert again[side] == pytest.approx(before[side], rel=1e-3)  # other batches round differently
    added = journal.read_bytes()[len(b"".join(lines[:50])) :]
    assert len(added.splitlines()) == len(lines) - 50 + 1


def test_two_adapters_are_compared_with_a_book_of_the_held_out_rows(
    first: Judgement, runs: Path, ask: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early = RunDirectory(runs / "early")
    shutil.copytree(runs / "demo", early.path, ignore=shutil.ignore_patterns("judgements"))
    checkpoint = min(early.checkpoints.iterdir(), key=lambda path: int(path.name.rpartition("-")[2]))
    shutil.copyfile(checkpoint / "adapter_model.safetensors", early.adapter / "adapter_model.safetensors")
    book = tmp_path / "held-out.jsonl"
    assert main(["judge", "draft", "demo", "--out", str(book)]) == 0
    assert "40 questions" in capsys.readouterr().out
    questions = read_book(book).questions
    assert [question.id for question in questions[:2]] == ["line 13", "line 15"]
    assert all(question.reference and not question.has_marks for question in questions)
    told = ask("demo", "--against", "early", "--book", str(book))
    assert (told["run"], told["against"], told["book"]) == ("demo", "early", str(book))
    assert told["other"]["marked"] == 0
    assert told["differences"]["passes"] is None
    assert told["adapter"]["loss"] != told["other"]["loss"]
    assert told["proof"]["off"] is None
    assert told["proof"]["on"] > 0
    assert main(["judge", "draft", "demo", "--out", str(book)]) == 2


def test_the_losses_of_the_rows_are_those_of_the_evaluation(
    runs: Path, demo: RunDirectory, ask: Callable[..., Any], talk: Callable[..., Talk]
) -> None:
    told = ask("demo", "--rows")
    rows = told["rows"]
    assert len(rows) == 440
    assert [row["adapter_loss"] for row in rows] == sorted((row["adapter_loss"] for row in rows), reverse=True)
    held_out = [row for row in rows if row["held_out"]]
    assert len(held_out) == 40
    mean = sum(row["adapter_loss"] * row["tokens"] for row in held_out) / sum(row["tokens"] for row in held_out)
    assert mean == pytest.approx(events(demo, "eval")[-1]["eval_loss"], rel=0.02)
    assert min(row["base_loss"] for row in rows) > 4
    file = Path(told["file"])
    check_token_losses(file, talk("inspect", str(runs / "demo")))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:300]) + lines[300][:20])  # killed while it wrote
    again = ask("demo", "--rows")["rows"]
    assert len(again) == len(rows)
    by_line = {row["line"]: row["adapter_loss"] for row in rows}  # other batches round differently
    assert all(row["adapter_loss"] == pytest.approx(by_line[row["line"]], rel=0.01, abs=0.01) for row in again)
    assert ask("demo", "--rows")["rows"] == again  # nothing is left to measure


def check_token_losses(file: Path, inspect: Talk) -> None:
    """The losses of a row's tokens add up to its own, and there is one for each token that the data screen shows as
    learned."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[-1] == {"type": "end"}
    for side in ("adapter", "base"):
        for row in lines[1:-1]:
            assert sum(map(sum, row[f"{side}_tokens"])) / 100 == pytest.approx(row[side]["total"], abs=0.3)
    inspect.until("ready")
    for row in lines[1:4]:
        inspect.say(type="row", index=row["line"] - 1)
        shown = inspect.until("row", "error")[-1]
        assert len(row["adapter_tokens"]) == len(shown["sequences"]) == 1
        assert len(row["adapter_tokens"][0]) == shown["sequences"][0]["learned_tokens"]


def test_planted_wrong_answers_are_among_the_worst_rows(
    trainer: Trainer, runs: Path, ask: Callable[..., Any], tmp_path: Path
) -> None:
    wrong = write_planted_rows(tmp_path / "rows.jsonl")
    profile = demo_profile(
        training={"num_train_epochs": 3}, evaluation={"eval_steps": 1000}, checkpoints={"save_steps": 1000}
    )
    run = trainer.run("planted", profile, str(tmp_path / "rows.jsonl"))
    assert trainer.train(run) == 0, run.log.read_text()
    run.path.rename(runs / "planted")
    worst = ask("planted", "--rows")["rows"][:20]
    assert len({row["line"] for row in worst} & set(wrong)) >= WRONG - 2
