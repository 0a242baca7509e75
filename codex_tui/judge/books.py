"""Finds and reads question books for the app: each fault becomes a sentence with its line and field."""

from __future__ import annotations

from pathlib import Path

from codex_tui.base.errors import BadInput
from codex_tui.base.locations import expand_home
from codex_tui.base.text import pluralize
from training.contract.profile import Profile
from training.dataset.book import DEMO_BOOK_FILE, BookDamaged, QuestionBook, read_book
from training.dataset.source import DEMO_BOOK

MAX_FAULTS_SHOWN = 20


def load_book(name: str, base: Path = Path()) -> QuestionBook:
    """Read the book `name`: the shipped one, or a file relative to `base`. Raises BadInput with all faults."""
    path = DEMO_BOOK_FILE if name == DEMO_BOOK else base / expand_home(name)
    try:
        return read_book(path)
    except BookDamaged as error:
        raise _describe_damage(error) from None


def load_profile_book(profile: Profile, base: Path) -> QuestionBook | None:
    """Read the book that a run of `profile` is asked, and that is relative to the profile's folder `base`. Returns None
    if the profile names none. Raises BadInput, also if no question of the book can pass."""
    name = profile.evaluation.book
    if name is None:
        return None
    try:
        book = load_book(name, base)
    except BadInput as error:
        raise BadInput(f"evaluation.book: {error.message}", error.hint) from None
    if not any(question.has_marks for question in book.questions):
        raise BadInput(
            f"evaluation.book: no question of {name} has must or must_not, so no answer can pass.",
            "Add to each what its answer must contain.",
        )
    return book


def _describe_damage(error: BookDamaged) -> BadInput:
    faults = error.faults
    if len(faults) == 1:
        return BadInput(f"{error.path}, {faults[0]}." if faults[0].line else f"{error.path} {faults[0]}.")
    lines = [f"  {fault}" for fault in faults[:MAX_FAULTS_SHOWN]]
    rest = len(faults) - len(lines)
    lines += [f"  and {rest:,} more"] if rest else []
    return BadInput("\n".join([f"{error.path} has {pluralize(len(faults), 'fault')}:", *lines]))
