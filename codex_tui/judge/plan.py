"""What a judgement compares: the adapter of a run, the other side and the questions. Checked before a model loads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_tui.base.errors import BadInput
from codex_tui.judge.books import load_book
from codex_tui.runs.follower import snapshot
from codex_tui.runs.outcome import read_config
from training.contract import checkpoints
from training.contract.config import RowForm, RunConfig, get_table
from training.contract.judgement import BASE, Book, Model, Question, choose_max_new_tokens
from training.contract.run_directory import RunDirectory
from training.dataset.source import DEMO_BOOK, DEMO_DATASET

HELD_OUT = "held-out"
"""The name of the book that is made from the held-out rows."""
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Side:
    """The adapter of one run. `identity` has everything that decides its base model's answers."""

    run: RunDirectory
    config: RunConfig
    model: Model
    identity: dict[str, Any]
    form: RowForm

    @property
    def base_name(self) -> str:
        return str(self.identity["name"])


@dataclass(frozen=True)
class JudgePlan:
    """A judgement that can begin. `questions` of None are made from the held-out rows. `other` of None is the base."""

    adapter: Side
    other: Side | None
    book: Book
    questions: list[Question] | None
    max_new_tokens: int
    name: str

    @property
    def run(self) -> RunDirectory:
        return self.adapter.run

    @property
    def against(self) -> Model:
        return self.other.model if self.other else Model(name=BASE)


def make_plan(
    run: RunDirectory,
    against: RunDirectory | None = None,
    book: str | None = None,
    max_new_tokens: int | None = None,
    name: str | None = None,
) -> JudgePlan:
    """Check everything that can be checked without a model. Raises BadInput."""
    adapter = read_side(run)
    other = read_side(against) if against else None
    if other:
        _check_comparable(adapter, other)
    found, questions = find_book(adapter, book)
    stem = Path(found.name).name.removesuffix(".jsonl") if questions is not None else HELD_OUT
    if found.name == DEMO_BOOK:
        stem = DEMO_BOOK
    default = f"{stem}-vs-{other.run.name}" if other else stem
    return JudgePlan(
        adapter=adapter,
        other=other,
        book=found,
        questions=questions,
        max_new_tokens=max_new_tokens or choose_max_new_tokens(adapter.form),
        name=_UNSAFE.sub("-", name or default).strip(".-")[:80] or "judgement",
    )


def read_side(run: RunDirectory) -> Side:
    """Find the adapter of `run`: the one that a chat would load. Raises BadInput if there is none."""
    config = read_config(run)
    folder = checkpoints.find_chat_adapter(run)
    if folder is None:
        raise explain_missing_adapter(run)
    step = None if folder == run.adapter else checkpoints.parse_step(folder)
    own, actual = get_table(config.profile, "model"), get_table(config.actual, "model")
    values = own | actual
    identity = {key: values.get(key) for key in ("name", "load_in_4bit", "dtype")}
    identity |= {key: own.get(key) for key in ("revision", "chat_template")}
    try:
        sha256 = checkpoints.compute_adapter_checksum(folder)
    except OSError as error:
        raise BadInput(f"{folder / checkpoints.ADAPTER} can't be read: {error.strerror}.") from None
    return Side(run, config, Model(name=run.name, step=step, sha256=sha256), identity, config.find_row_form())


def explain_missing_adapter(run: RunDirectory) -> BadInput:
    watched = snapshot(run)
    if not watched.ended:
        return BadInput(f"{run.name} has no adapter yet.", "Wait for its first checkpoint.")
    return BadInput(f"{run.name} has no adapter and no whole checkpoint.", f"Train it: codex-tui resume {run.name}")


def _check_comparable(one: Side, two: Side) -> None:
    if one.run.path == two.run.path:
        raise BadInput(f"{one.run.name} can't be compared with itself.", "Name another run, or: --against base")
    if one.model.sha256 == two.model.sha256:
        raise BadInput(f"{one.run.name} and {two.run.name} have the same adapter, byte for byte.")
    for key in ("name", "revision", "load_in_4bit", "dtype"):
        if one.identity[key] != two.identity[key]:
            raise BadInput(
                f"{one.run.name} and {two.run.name} do not have the same base model: model.{key} is "
                f"{one.identity[key]!r} and {two.identity[key]!r}.",
                "Judge each against its base: --against base",
            )


def choose_default_book(run: RunDirectory, config: RunConfig | None) -> str:
    """Return the name of the book that a judgement of `run` asks by default: the one that the run's own evaluations
    asked, else that of the shipped sample if it learned this, else its held-out rows."""
    own = get_table(config.profile, "evaluation").get("book") if config else None
    if own and own != DEMO_BOOK and run.book.is_file():
        return str(run.book)
    return DEMO_BOOK if own == DEMO_BOOK or (config and config.dataset == DEMO_DATASET) else HELD_OUT


def find_book(side: Side, book: str | None) -> tuple[Book, list[Question] | None]:
    """Read the book `book`; None chooses the default one of the run. The questions are None if they are to be made from
    the held-out rows. Raises BadInput."""
    book = choose_default_book(side.run, side.config) if book is None else book
    if book == HELD_OUT:
        return Book(name=HELD_OUT), None
    found = load_book(book)
    name = book if book == DEMO_BOOK else str(found.path.absolute())
    return Book(name=name, sha256=found.sha256), found.questions
