"""The judgements of a run, in short, for the list of runs and the banner."""

from __future__ import annotations

from contextlib import suppress
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


def list_judged(run: RunDirectory) -> tuple[JudgedSummary, ...]:
    """List the newest judgements of `run`, the newest first. A file that can't be read is left out."""
    from training.contract.judgement import JudgementError, describe_levels, list_files, read_head  # not at a start

    found = []
    for path in list_files(run.judgements)[:MAX_LISTED]:
        with suppress(JudgementError):
            head = read_head(path)
            found.append(
                JudgedSummary(
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
            )
    return tuple(found)
