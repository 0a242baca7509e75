"""RUN/control: what a person, or a rule, asks of the trainer and the keeper."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

from training.contract import files

Word = Literal["save", "terminate", "park", "resume"]
StopLevel = Literal["save", "terminate", "park"]
_WORDS: tuple[Word, ...] = get_args(Word)
MAX_REASON = 300  # characters


class Request(NamedTuple):
    """What RUN/control asks for. save: finish the step, save checkpoint and adapter, and end the run. terminate: end it
    at once. park: save, and end the trainer alone. resume: start the next trainer of a run that is held.

    `reason` and `ends` belong to a park: one sentence each, why, and what ends it if no person does. The `reason` of a
    resume is empty, or `card_queue.NOW`: start even where other runs have the cards."""

    word: Word
    reason: str = ""
    ends: str = ""


def format_request(request: Request) -> str:
    reason, ends = clean_reason(request.reason), clean_reason(request.ends)
    return f"{request.word}\n{reason}\n{ends}".rstrip("\n") + "\n"


def clean_reason(reason: str) -> str:
    """Return `reason` as RUN/control has it: on one line, and not too long."""
    return " ".join(reason.split())[:MAX_REASON].strip()


def read_request(path: Path) -> Request | None:
    """Read a request. Unknown words ask to save and end: that loses nothing."""
    try:
        lines = files.read(path).decode(errors="replace").strip().splitlines()
    except OSError:
        return None
    if not lines:
        return None
    word: Word = next((word for word in _WORDS if word == lines[0].strip()), "save")
    reason, ends = (line.strip()[:MAX_REASON] for line in (*lines[1:3], "", "")[:2])
    return Request(word, reason, ends)
