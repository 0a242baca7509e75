"""A run on the rows of the data screen, and a judge worker in the same process that measures them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from codex_tui.base import locations
from support.config_file import write_config
from support.fake_inspect import split_words
from support.fake_worker import InProcessWorker
from training.contract.config import Fingerprint, RunConfig
from training.contract.judge_messages import JudgeEnd, MeasureRows, ModelsReady, Proved, RowMeasured
from training.contract.judgement import Loss, Proof
from training.contract.messages import Message
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.index import RowIndex
from training.dataset.records import BadRow
from training.dataset.shapes import Columns, read_row
from training.dataset.source import sha256, source_from_config

WRONG_LINE = 31
BASE_LOSS, LEARNED, WRONG = 690, 2, 530  # hundredths a token


def write_measurable_run(run: RunDirectory, *files: Path) -> RunDirectory:
    """Make `run` one that was trained on `files` with at most 40 tokens a row."""
    profile = Profile.model_validate({"model": {"name": "demo:llama", "max_seq_length": 40}})
    values = {
        "name": run.name,
        "profile": profile.model_dump(mode="json"),
        "dataset": str(files[0]),
        "files": [str(path) for path in files],
    }
    write_config(run, values)
    config, _ = RunConfig.read_with_profile(run.config)
    fingerprint = Fingerprint(sha256=sha256(source_from_config(config)))
    write_config(run, {**values, "dataset_fingerprint": msgspec.to_builtins(fingerprint)})
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    return run


class MeasuringWorker(InProcessWorker):
    """Measures the rows of the run. After `pauses_after` rows it is silent."""

    pauses_after: int | None = None

    def begin(self) -> None:
        config, self._profile = RunConfig.read_with_profile(self.place / "config.json")
        self._index = RowIndex.open(source_from_config(config), locations.cache_home())

    def take(self, request: Message) -> None:
        assert isinstance(request, MeasureRows)
        self.say(ModelsReady(device="cpu"))
        rows = list(self._measure())
        last = len(rows) if self.pauses_after is None else self.pauses_after
        for row in rows[:last]:
            if row.position >= request.first:
                self.say(row)
        if self.pauses_after is None:
            self.say(Proved(proof=Proof(off=0.0, on=5.0)))
            self.say(JudgeEnd())

    def _measure(self) -> Iterator[RowMeasured]:
        columns, limit = Columns.from_dataset(self._profile.dataset), self._profile.model.max_seq_length
        for position, record in enumerate(self._index.records()):
            try:
                given, answer = split_words(read_row(record, columns))
            except BadRow:
                continue
            count = max(0, min(limit, len(given) + len(answer)) - len(given))
            wrong = record.line == WRONG_LINE
            tokens = [WRONG + place if wrong else LEARNED + 60 * (place == 1) for place in range(count)]
            if tokens:
                yield RowMeasured(
                    position=position,
                    total=len(self._index),
                    file=self._index.source.label(record.file),
                    line=record.line,
                    held_out=False,
                    question="?",
                    answer="!",
                    adapter=Loss(total=sum(tokens) / 100, tokens=count),
                    base=Loss(total=BASE_LOSS * count / 100, tokens=count),
                    file_number=record.file,
                    adapter_tokens=[tokens],
                    base_tokens=[[BASE_LOSS] * count],
                )
