"""The inspect worker, spoken to through its pipes: what it shows is what the trainer learns, row by row."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config
from support.training_runs import Talk, Trainer, demo_profile

from codex_tui.data.overview import compute_overview
from training.contract.run_directory import RunDirectory
from training.dataset import lengths as token_lengths
from training.dataset import scan as scans

LENGTH = 48
LONG = "one two three four five " * 30


class Inspect:
    """A worker that has said that it is ready."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.ready = talk.until("ready", "error")[-1]

    def row(self, index: int, **options: Any) -> dict[str, Any]:
        self.talk.say(type="row", index=index, **options)
        return next(m for m in reversed(self.talk.until("row", "error")) if m["type"] in ("row", "error"))

    def tokenise(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        self.talk.say(type="tokenise")
        *before, digest = self.talk.until("digest", "error")
        return before, digest


@pytest.fixture
def inspect(trainer: Trainer, talk: Callable[..., Talk], tmp_path: Path) -> Callable[..., Inspect]:
    """Starts a worker on rows as JSON, or on a file; its cache is the session's."""
    started: list[RunDirectory] = []

    def start(rows: list[Any] | Path, length: int = LENGTH, **dataset: Any) -> Inspect:
        path = rows if isinstance(rows, Path) else tmp_path / "rows.jsonl"
        if not isinstance(rows, Path):
            path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        settings = {"eval_fraction": 0.0, **dataset}
        profile = demo_profile(model={"max_seq_length": length}, dataset=settings)
        started.append(trainer.run(f"inspect-{tmp_path.name}-{len(started)}", profile, str(path)))
        return Inspect(talk("inspect", str(started[-1].config)))

    return start


MIXED: list[Any] = [
    {"instruction": "Who is Rook?", "response": "A hero."},
    "not a row",
    {"instruction": "Say it all.", "response": LONG},
    {"instruction": "why " * 200, "response": "So."},
    {"messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi"},
                  {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "And?"},
                  {"role": "assistant", "content": "  No. "}]},
    {"conversations": [{"from": "human", "value": "Café 🧟?"}, {"from": "gpt", "value": "<|eot_id|> [/INST] ü"}]},
    {"text": "Plain text,\n learned whole."},
    {"text": LONG},
    {"prompt": "Two", "completion": "two"},
    {"instruction": "Who is Rook?", "response": "A hero."},
    {"instruction": "", "response": "b"},
    *({"instruction": f"How much is {number} + 1?", "response": str(number + 1)} for number in range(9)),
]  # fmt: skip


def test_ids_and_labels_are_those_of_the_trainers_batches(inspect: Callable[..., Inspect], trainer: Trainer) -> None:
    settings = {"eval_fraction": 0.2, "system_prompt": "Be brief.", "on_bad_rows": "skip"}
    worker = inspect(MIXED, **settings)
    assert worker.ready["rows"] == len(MIXED)
    assert worker.ready["kept"] == len(MIXED) - 2
    shown: dict[str, list[Any]] = {"train": [], "eval": [], "dropped": [], "bad": []}
    for index in range(len(MIXED)):
        row = worker.row(index, ids=True)
        for sequence in row["sequences"]:
            ids = [token for token, _ in sequence["ids"]]
            assert len(ids) == sequence["tokens"]
            learned = {at for start, end in sequence["spans"] for at in range(start, end)}
            labels = [token if at in learned else -100 for at, token in enumerate(ids)]
            assert sum(label != -100 for label in labels[:LENGTH]) == sequence["learned_tokens"]
            shown[row["split"]].append([ids[:LENGTH], labels[:LENGTH]])
        if row["split"] == "bad":
            shown["bad"].append(row["problem"])
    folder = Path(worker.talk.process.args[-1]).parent
    taught = trainer.run_program("batches", "of_run", str(folder))
    assert sorted(shown["train"]) == sorted(taught["train"])
    assert sorted(shown["eval"]) == sorted(taught["eval"])
    assert (len(shown["dropped"]), len(shown["bad"])) == (taught["dropped"], 2)
    assert taught["dropped"] >= 1
    assert len(taught["eval"]) >= 2

    _, digest = worker.tokenise()
    profile = demo_profile(model={"max_seq_length": LENGTH}, dataset=settings)
    scan, lengths = scans.load(Path(digest["scan"])), token_lengths.load(Path(digest["lengths"]))
    assert scan and lengths
    figures = compute_overview(scan, lengths, profile)
    assert (figures.train_rows, figures.eval_rows) == (len(taught["train"]), len(taught["eval"]))
    assert [figures.steps_per_epoch, figures.total_steps] == taught["steps"]
    assert figures.learned_tokens == sum(label != -100 for _, labels in taught["train"] for label in labels)
    assert figures.train_tokens == sum(len(ids) for ids, _ in taught["train"])
    rows = [worker.row(index) for index in scan.good()]
    for position, row in enumerate(rows):
        found = [(sequence["tokens"], [tuple(span) for span in sequence["spans"]]) for sequence in row["sequences"]]
        assert found == lengths.list_sequences(position)


def test_no_part_of_a_row_that_is_dropped_for_its_length_is_learned(inspect: Callable[..., Inspect]) -> None:
    worker = inspect(MIXED, long_rows="drop")
    for index, split in ((0, "train"), (2, "dropped")):
        row = worker.row(index)
        [sequence] = row["sequences"]
        learned = any(segment["learned"] for segment in sequence["segments"])
        assert (row["split"], learned, bool(sequence["learned_tokens"])) == (split, split == "train", split == "train")


def test_what_is_shown_of_a_row(inspect: Callable[..., Inspect]) -> None:
    worker = inspect(["", *MIXED], length=64, system_prompt="Be brief.")
    first = worker.row(0)
    assert (first["line"], first["file"], first["shape"], first["problem"]) == (2, "", "instruction", "")
    assert first["raw"] == {"instruction": "Who is Rook?", "response": "A hero."}
    [sequence] = first["sequences"]
    assert sequence["segments"] == [
        {
            "text": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWho is Rook?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "learned": False,
            "cut": False,
        },
        {"text": "A hero.<|eot_id|>", "learned": True, "cut": False},
    ]
    assert (first["split"], first["max_seq_length"]) == ("train", 64)
    [[start, end]] = sequence["spans"]
    assert 0 < sequence["learned_tokens"] == end - start
    assert end == sequence["tokens"]
    assert "ids" not in sequence

    bad = worker.row(1)
    assert (bad["split"], bad["raw"], bad["sequences"], bad["text"]) == ("bad", None, [], "not a row")
    assert "not valid JSON" in bad["problem"]
    long = worker.row(2, max_seq_length=100)
    segments = long["sequences"][0]["segments"]
    assert [(s["learned"], s["cut"]) for s in segments] == [(False, False), (True, False), (True, True)]
    assert (long["max_seq_length"], long["split"]) == (100, "train")
    assert segments[2]["text"].endswith("five<|eot_id|>")
    wholly_cut = worker.row(3)
    assert (wholly_cut["split"], wholly_cut["sequences"][0]["learned_tokens"]) == ("dropped", 0)
    several = worker.row(4, max_seq_length=100)["sequences"][0]["segments"]
    assert [segment["text"] for segment in several if segment["learned"]] == ["Ho<|eot_id|>", "No.<|eot_id|>"]
    text = worker.row(6)["sequences"][0]
    assert text["spans"] == [[1, text["tokens"]]]  # nothing comes before the first token
    assert "".join(part["text"] for part in text["segments"]) == "Plain text,\n learned whole.<|eot_id|>"
    assert worker.row(len(MIXED))["type"] == worker.row(-1)["type"] == worker.row("0")["type"] == "error"


def test_rows_of_several_files_have_their_names(inspect: Callable[..., Inspect], tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps(MIXED[0]))
    (folder / "b.csv").write_text("prompt,completion\nWho?,Rook\n")
    worker = inspect(folder)
    assert [(row["file"], row["line"], row["shape"]) for row in map(worker.row, range(2))] == [
        ("a.jsonl", 1, "instruction"),
        ("b.csv", 2, "prompt_completion"),
    ]


def test_lengths_are_kept_for_every_cut(inspect: Callable[..., Inspect]) -> None:
    rows = [
        {"instruction": f"Number {number}", "response": f"kept {number} " * (number % 7 + 1)} for number in range(40)
    ]
    first = inspect(rows, length=LENGTH)
    heard, digest = first.tokenise()
    assert (digest["cached"], digest["why"]) == (False, "")
    assert heard[-1] == {"type": "progress", "what": "tokenising", "done": 40, "total": 40}
    again = inspect(rows, length=2 * LENGTH, eval_fraction=0.5)
    heard, kept = again.tokenise()
    assert (kept["lengths"], kept["cached"], heard) == (digest["lengths"], True, [])
    other = inspect(rows, system_prompt="Be brief.").tokenise()[1]
    assert not other["cached"]
    longer = inspect([*rows, rows[0]]).tokenise()[1]
    assert not longer["cached"]
    lengths = token_lengths.load(Path(other["lengths"]))
    assert lengths and not lengths.system_ignored  # the demo's template has the system role
    Path(longer["lengths"]).write_bytes(b"damaged")
    assert not inspect([*rows, rows[0]]).tokenise()[1]["cached"]


def test_counting_is_cancelled_and_rows_do_not_wait_for_it(inspect: Callable[..., Inspect]) -> None:
    rows = [{"instruction": f"Number {number}", "response": f"never kept {number} " * 20} for number in range(20_000)]
    worker = inspect(rows)
    worker.talk.say(type="tokenise")
    worker.talk.until("progress")
    assert worker.row(19_999)["sequences"][0]["tokens"] > 20  # long before all are counted
    worker.talk.say(type="cancel")
    heard = worker.talk.until("cancelled", "digest")
    assert heard[-1] == {"type": "cancelled"}
    assert all(message["done"] < 20_000 for message in heard if message["type"] == "progress")
    worker.talk.say(type="cancel")
    assert worker.talk.until("cancelled", "digest")[-1] == {"type": "cancelled"}
    assert worker.row(0)["type"] == "row"


def test_many_rows_are_scanned_behind(inspect: Callable[..., Inspect]) -> None:
    rows = [{"instruction": f"Number {number}", "response": str(number)} for number in range(50_001)]
    worker = inspect(rows, eval_fraction=0.1)
    assert (worker.ready["rows"], worker.ready["kept"], worker.ready["scan"]) == (50_001, None, None)
    assert worker.row(50_000)["split"] == ""
    digest = worker.talk.until("digest")[-1]
    scan = scans.load(Path(digest["scan"]), rows=50_001)
    assert scan and scan.kept == 50_001
    assert worker.row(50_000)["split"] in ("train", "eval")


def test_rows_are_read_without_a_tokenizer(trainer: Trainer, talk: Callable[..., Talk], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(MIXED[0]) + "\n")
    run = trainer.run("inspect-no-model", demo_profile(model={"name": "/nowhere/a-model"}), str(rows))
    worker = Inspect(talk("inspect", str(run.path)))
    assert (worker.ready["type"], worker.ready["rows"], worker.ready["kept"]) == ("ready", 1, 1)
    assert "/nowhere/a-model is not a model" in worker.ready["why"]
    row = worker.row(0)
    assert (row["raw"], row["sequences"]) == (MIXED[0], [])
    assert "/nowhere/a-model" in row["why"]
    digest = worker.tokenise()[1]
    assert digest["lengths"] is None
    assert "/nowhere/a-model" in digest["why"]
    assert scans.load(Path(digest["scan"])) is not None


def test_an_interpreter_without_the_stack_reads_rows(trainer: Trainer, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(MIXED[0]) + "\n")
    run = trainer.run("inspect-bare", demo_profile(), str(rows))
    bare = Trainer(Path(sys.executable), trainer.folder)
    process = bare.start("inspect", str(run.path), stdin=-1, stdout=-1, stderr=-3)
    worker = Inspect(Talk(process))
    assert "library of the training stack is missing" in worker.ready["why"]
    assert worker.row(0)["raw"] == MIXED[0]
    assert worker.tokenise()[1]["lengths"] is None
    assert process.communicate() and process.returncode == 0


def test_a_template_that_refuses_a_row(demo: RunDirectory, trainer: Trainer, talk: Callable[..., Talk]) -> None:
    base = Path(json.loads((demo.adapter / "adapter_config.json").read_text())["base_model_name_or_path"])
    folder = trainer.folder / "no-system"
    shutil.copytree(base, folder)
    template = folder / "chat_template.jinja"
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    template.write_text(refuse + template.read_text())
    rows = trainer.folder / "system.jsonl"
    rows.write_text(json.dumps(MIXED[4]) + "\n" + json.dumps(MIXED[0]) + "\n")
    worker = Inspect(talk("inspect", str(trainer.run("inspect-system", demo_profile(model={"name": str(folder)}),
                                                     str(rows)).path)))  # fmt: skip
    refused = worker.row(0)
    assert (refused["split"], refused["sequences"]) == ("bad", [])
    assert "refuses this row: System role not supported" in refused["problem"]
    assert worker.row(1)["sequences"][0]["tokens"] > 0
    lengths = token_lengths.load(Path(worker.tokenise()[1]["lengths"]))
    assert lengths and lengths.refused_count == 1
    assert "System role not supported" in lengths.refused[0]


def test_the_dataset_is_gone(trainer: Trainer, talk: Callable[..., Talk]) -> None:
    worker = talk("inspect", str(trainer.run("inspect-no-rows", demo_profile(), "/nowhere/rows.jsonl").path))
    error = worker.until("ready", "error")[-1]
    assert (error["type"], error["kind"]) == ("error", "bad_data")
    assert "/nowhere/rows.jsonl" in error["message"]
    assert worker.process.wait(300) == 1


def test_the_split_is_the_one_of_the_run(demo: RunDirectory, talk: Callable[..., Talk]) -> None:
    fingerprint = read_config(demo)["dataset_fingerprint"]
    ready = Inspect(talk("inspect", str(demo.path))).ready
    assert (ready["train_rows"], ready["eval_rows"]) == (fingerprint["train_rows"], fingerprint["eval_rows"])
