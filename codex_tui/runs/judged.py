"""The judgements of a run, in short, for the list of runs and the banner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from codex_tui.base.text import shorten
from training.contract.run_directory import RunDirectory

MAX_LISTED = 5
MAX_TEXT = 300
MAX_NAME = 16


class JudgedSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement. `name` is that of its file. The texts are raw: clean them before they are shown."""

    name: str
    against: str
    book: str
    created: float
    questions: int
    marked: int
    adapter_passes: int
    other_passes: int
    levels: str  # both sides in one line
    conclusion: str  # the first sentence

    @property
    def summary(self) -> str:
        """One line that fits into a terminal of 80 columns."""
        return f"against {shorten(self.against, MAX_NAME)}: {self.levels}"

    def as_json(self) -> dict[str, Any]:
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


def summarise_judgements(run: RunDirectory) -> Iterator[JudgedSummary]:
    """Yield the newest judgements of `run`, the newest first. A file that can't be read is left out."""
    from training.contract.judgement import describe_levels
    from training.contract.judgement_file import read_heads

    for path, head in read_heads(run.judgements, MAX_LISTED):
        yield JudgedSummary(
            name=path.stem,
            against=head.against.name[:MAX_TEXT],
            book=head.book.name[:MAX_TEXT],
            created=head.created,
            questions=head.overall.questions,
            marked=head.overall.adapter.marked,
            adapter_passes=head.overall.adapter.passes,
            other_passes=head.overall.other.passes,
            levels=describe_levels(head.overall),
            conclusion=next(iter(head.conclusions), "")[:MAX_TEXT],
        )
