"""The rows of a run in the order of what its adapter made of them, and the losses of their tokens."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_tui.data.xray import Xray, read_xray
from codex_tui.runs.measured_rows import NAME, RowsHeader
from training.contract.inspect_messages import RenderedRow, RenderedSequence
from training.contract.judge_messages import JudgeEnd, RowMeasured
from training.contract.judgement import Loss
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.index import RowIndex
from training.dataset.source import Source, sha256

PROFILE = Profile.model_validate({"model": {"name": "m", "max_seq_length": 16}})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.judgements.mkdir(parents=True)
    return run


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Two files of the same name, each with a line that is no row, and an empty line."""
    paths = []
    for folder in ("train", "more"):
        path = tmp_path / folder / "rows.jsonl"
        path.parent.mkdir()
        row = json.dumps({"instruction": f"{folder}?", "response": "Yes."})
        path.write_text(f"{row}\n\n{row}\nbroken\n{row}\n")
        paths.append(path)
    return Source("rows", tuple(paths))


def measure(file: int, line: int, adapter: float, *, tokens: list[list[int]] | None = None) -> RowMeasured:
    count = sum(map(len, tokens)) if tokens else 2
    return RowMeasured(
        position=10 * file + line,
        total=6,
        file="rows.jsonl",
        line=line,
        held_out=False,
        question="?",
        answer="!",
        adapter=Loss(total=adapter * count, tokens=count),
        base=Loss(total=7.0 * count, tokens=count),
        file_number=file,
        adapter_tokens=tokens or [[10, 20]],
        base_tokens=[[700 for _ in part] for part in tokens or [[10, 20]]],
    )


def write(run: RunDirectory, *values: Any, version: int = 2, dataset: str = "") -> None:
    header = RowsHeader(version=version, adapter="a", dataset=dataset, created=5.0)
    (run.judgements / NAME).write_bytes(b"".join(msgspec.json.encode(value) + b"\n" for value in (header, *values)))


def read(run: RunDirectory, source: Source, tmp_path: Path) -> Xray | None:
    return read_xray(run, source, RowIndex.open(source, tmp_path / "cache"), lambda: False)


def test_rows_are_found_by_file_and_line_and_sorted_by_the_adapters_loss(
    run: RunDirectory, source: Source, tmp_path: Path
) -> None:
    rows = [measure(0, 1, 0.1), measure(0, 5, 3.0), measure(1, 3, 2.0), measure(1, 5, 0.2), measure(1, 77, 9.0)]
    write(run, *rows, JudgeEnd())
    xray = read(run, source, tmp_path)
    assert xray
    assert list(xray.worst) == [3, 5, 7, 0]  # line 5, then line 3 of the other file, whose rows begin at 4
    assert xray.find_losses(3) == pytest.approx((7.0, 3.0))
    assert [xray.find_losses(row) for row in (1, 2, 4, 6, 8, 99)] == [None] * 6
    assert xray.is_current


def test_an_older_version_kept_the_names_of_the_files(run: RunDirectory, source: Source, tmp_path: Path) -> None:
    rows = [measure(0, 1, 0.1), measure(0, 5, 3.0)]
    write(run, *rows, JudgeEnd(), version=1)
    assert read(run, source, tmp_path) is None  # both files have this name
    other = source.files[1].rename(tmp_path / "other.jsonl")
    source = Source("rows", (source.files[0], other))
    xray = read(run, source, tmp_path)
    assert xray
    assert list(xray.worst) == [3, 0]
    assert not xray.is_current
    assert not xray.has_tokens


def test_nothing_was_measured(run: RunDirectory, source: Source, tmp_path: Path) -> None:
    assert read(run, source, tmp_path) is None
    write(run)
    assert read(run, source, tmp_path) is None


def test_a_change_of_the_data_or_of_the_adapter_is_noticed(run: RunDirectory, source: Source, tmp_path: Path) -> None:
    write(run, measure(0, 1, 1.0), JudgeEnd(), dataset=sha256(source))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    xray = read(run, source, tmp_path)
    assert xray
    assert (xray.data_changed, xray.adapter_changed) == (False, False)  # there are no weights to compare
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    source.files[1].write_text('{"instruction": "a", "response": "b"}\n')
    xray = read(run, source, tmp_path)
    assert xray
    assert (xray.data_changed, xray.adapter_changed) == (True, True)
    assert not xray.is_current


def render(*sequences: tuple[int, list[tuple[int, int]]]) -> RenderedRow:
    rendered = [
        RenderedSequence(segments=[], tokens=tokens, spans=spans, learned_tokens=0) for tokens, spans in sequences
    ]
    return RenderedRow(index=0, line=1, max_seq_length=16, sequences=rendered)


@pytest.mark.parametrize(
    ("measured", "row", "places"),
    [
        ([[10, 20, 30]], render((7, [(4, 7)])), [[4, 5, 6]]),
        ([[10, 20, 30]], render((20, [(2, 3), (14, 18)])), [[2, 14, 15]]),  # cut at 16
        ([[10, 20], [30]], render((4, [(0, 3)]), (6, [(5, 6)])), [[1, 2], [5]]),  # nothing predicts the first token
        ([[], [30]], render((20, [(17, 19)]), (6, [(5, 6)])), [[], [5]]),
        ([[10, 20]], render((7, [(4, 7)])), None),
        ([[10], [20]], render((7, [(4, 5)])), None),
    ],
)
def test_each_loss_belongs_to_the_place_of_its_token(
    run: RunDirectory, source: Source, tmp_path: Path, measured: Any, row: RenderedRow, places: Any
) -> None:
    write(run, measure(0, 1, 1.0, tokens=measured), JudgeEnd())
    xray = read(run, source, tmp_path)
    assert xray
    losses = xray.read_tokens(0, row, PROFILE)
    assert (losses and [[loss.place for loss in part] for part in losses]) == places
    if losses:
        assert [loss.adapter for part in losses for loss in part] == [loss / 100 for part in measured for loss in part]
        assert losses[-1][-1].probability == pytest.approx(math.exp(-0.3))
    assert xray.read_tokens(5, row, PROFILE) is None


def test_a_sequence_that_is_left_out_for_its_length_has_no_losses(
    run: RunDirectory, source: Source, tmp_path: Path
) -> None:
    write(run, measure(0, 1, 1.0, tokens=[[], [30]]), JudgeEnd())
    xray = read(run, source, tmp_path)
    assert xray
    profile = Profile.model_validate({"model": {"name": "m", "max_seq_length": 16}, "dataset": {"long_rows": "drop"}})
    losses = xray.read_tokens(0, render((17, [(2, 5)]), (6, [(5, 6)])), profile)
    assert losses
    assert [[loss.place for loss in part] for part in losses] == [[], [5]]
