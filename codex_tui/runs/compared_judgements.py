"""What the judge found out about a run, for a comparison: how it answers the questions of each book."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codex_tui.base.text import clean, shorten
from codex_tui.runs.judged import find_outdated
from training.contract.judgement_file import read_heads
from training.contract.run_directory import RunDirectory

MAX_BOOKS = 20  # of one run
MAX_TITLE = 17


@dataclass(frozen=True)
class BookResult:
    """How a run answered the questions of one book. `book` is its raw path or name. `sha256` is "" where the held-out
    rows are the questions. `marked` of the questions can pass."""

    book: str
    sha256: str
    questions: int
    passes: int
    marked: int
    chrf: float | None = None

    @property
    def key(self) -> str:
        """Is equal for equal books, also if their paths differ."""
        return self.sha256 or self.book

    @property
    def pass_rate(self) -> float | None:
        return self.passes / self.marked if self.marked else None


def read_book_results(run: RunDirectory) -> tuple[BookResult, ...]:
    """Read the newest judgement of each book. A file that can't be read is left out, and so is a judgement of an
    adapter that the run has trained on since."""
    found: dict[str, BookResult] = {}
    heads = [head for _, head in read_heads(run.judgements, MAX_BOOKS)]
    for head, outdated in zip(heads, find_outdated(run, heads), strict=True):
        if outdated:
            continue
        level = head.overall.adapter
        result = BookResult(
            head.book.name, head.book.sha256, head.overall.questions, level.passes, level.marked, level.chrf
        )
        found.setdefault(result.key, result)
    return tuple(found.values())


def group_by_book(runs: Sequence[Sequence[BookResult]]) -> Iterator[tuple[str, list[BookResult | None]]]:
    """Yield a title for each book, and the result of each run; None for a run that was not judged with it."""
    keys = {result.key: result for results in runs for result in reversed(results)}
    titles: set[str] = set()
    for key, example in sorted(keys.items(), key=lambda item: item[1].book):
        name = clean(example.book).rstrip("/").rpartition("/")[2].removesuffix(".jsonl")
        title = shorten(name, MAX_TITLE)
        if title in titles:
            title = f"{shorten(name, MAX_TITLE - 5)} {clean(key[:4])}"
        titles.add(title)
        yield title, [next((result for result in results if result.key == key), None) for results in runs]
