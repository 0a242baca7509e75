"""Loans of a run's card: a file in RUN/loans for each process that has borrowed the card, such as a chat.

While such a process lives, the keeper parks the run. It resumes when the process has deleted its file, or is gone. So a
chat that is killed leaves no run parked for ever.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import msgspec

from training.contract import files
from training.contract.events import ENDS_BY_HAND
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.contract.signs import keep_fresh, lives

SUFFIX = ".json"
CHAT_REASON = "A chat uses the card."
CHAT_ENDS = "It resumes when the chat is left."
ENDS_BY_PERSON = (*ENDS_BY_HAND, CHAT_ENDS)
"""What ends a hold that a person has asked for, with L or by opening a chat."""


class Loan(msgspec.Struct):
    """`reason`: one sentence, why the card is needed. `ends`: one sentence, what gives it back."""

    borrower: ProcessIdentity
    reason: str
    ends: str = ""


def borrow(run: RunDirectory, reason: str, ends: str) -> str:
    """Borrow the card for this process. Returns the name of the loan, to give it back. Raises OSError."""
    with suppress(FileExistsError):
        run.loans.mkdir(mode=0o700)
    name = os.urandom(4).hex()
    loan = Loan(ProcessIdentity.current(), reason, ends)
    files.write_atomically(run.loans / f"{name}{SUFFIX}", msgspec.json.encode(loan))
    keep_fresh(run.loans / f"{name}{SUFFIX}")
    return name


def give_back(run: RunDirectory, name: str) -> None:
    with suppress(OSError):
        (run.loans / f"{name}{SUFFIX}").unlink()
    with suppress(OSError):  # another process has borrowed it too
        run.loans.rmdir()


def list_loans(run: RunDirectory) -> dict[str, Loan]:
    """Return the loans of living processes by name, and delete those of processes that are gone. It costs one system
    call where nobody has borrowed the card."""
    try:
        if not stat.S_ISDIR(os.lstat(run.loans).st_mode):  # a link could lead out of the run
            return {}
        names = sorted(os.listdir(run.loans))  # noqa: PTH208  the keeper looks often
    except OSError:
        return {}
    loans = {}
    for name in (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX) and not name.startswith(".")):
        try:
            loan = msgspec.json.decode(files.read(run.loans / f"{name}{SUFFIX}"), type=Loan)
        except (OSError, ValueError, RecursionError):
            continue
        if lives(loan.borrower, run.loans / f"{name}{SUFFIX}"):
            loans[name] = loan
        else:
            give_back(run, name)
    return loans
