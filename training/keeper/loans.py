"""Parks the run while a chat has borrowed its card, and lets it resume when the chat is over or its process is gone."""

from __future__ import annotations

from training.contract.loan import list_loans
from training.keeper.watchers import Answer, Hold, Moment


class LoanWatcher:
    """A person who resumes the run ends the loans that there are then."""

    seconds = 1.0

    def __init__(self) -> None:
        self._resumed_at: float | None = None
        self._ended: frozenset[str] = frozenset()

    def look(self, moment: Moment) -> Answer:
        loans = list_loans(moment.run)
        if moment.resumed_at != self._resumed_at:
            self._resumed_at = moment.resumed_at
            self._ended = frozenset(loans) if moment.resumed_at is not None else frozenset()
        loan = next((loan for name, loan in loans.items() if name not in self._ended), None)
        return Hold("parked", loan.reason, loan.ends) if loan else None
