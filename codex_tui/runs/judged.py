"""The judgements of a run, in short, for the list of runs and the banner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from codex_tui.base.text import shorten
from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from training.contract.judgement import JudgementHead

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
    outdated: bool = False  # the run has trained since, so the adapter is another one

    @property
    def summary(self) -> str:
        """One line that fits into a terminal of 80 columns."""
        whom = "an earlier adapter, against" if self.outdated else "against"
        return f"{whom} {shorten(self.against, MAX_NAME)}: {self.levels}"

    def as_json(self) -> dict[str, Any]:
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


def summarise_judgements(run: RunDirectory) -> Iterator[JudgedSummary]:
    """Yield the newest judgements of `run`, the newest first. A file that can't be read is left out."""
    from training.contract.judgement import describe_levels
    from training.contract.judgement_file import read_heads

    found = list(read_heads(run.judgements, MAX_LISTED))
    for (path, head), outdated in zip(found, find_outdated(run, [head for _, head in found]), strict=True):
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
            outdated=outdated,
        )


def find_outdated(run: RunDirectory, judgements: Sequence[JudgementHead]) -> list[bool]:
    """Find out for each judgement whether `run` has trained since, so that it is about an earlier adapter. Reads the
    adapter only if its file is newer than a judgement. Without an adapter nothing is known, and all count."""
    folder = checkpoints.find_chat_adapter(run, thorough=False) if judgements else None
    if folder is None:
        return [False for _ in judgements]
    try:
        modified = (folder / checkpoints.ADAPTER).stat().st_mtime
        if all(one.created > modified for one in judgements):
            return [False for _ in judgements]
        checksum = checkpoints.compute_adapter_checksum(folder)
    except OSError:
        return [False for _ in judgements]
    return [one.created <= modified and one.adapter.sha256 not in ("", checksum) for one in judgements]
