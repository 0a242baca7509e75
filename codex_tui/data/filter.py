"""The filters of the data screen: which rows they list, and in which order. The signs before each row."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

from training.dataset.lengths import Lengths
from training.dataset.scan import BAD, EXACT, HELD_OUT, NEAR, Scan

Kind = Literal["all", "bad", "cut", "longest", "duplicates", "worst"]
KINDS: tuple[Kind, ...] = ("all", "bad", "cut", "longest", "duplicates")
RUN_KINDS: tuple[Kind, ...] = (*KINDS, "worst")
"""The filters of a run. `worst` lists the rows by what its adapter made of them."""
NEEDS_TOKENS = ("cut", "longest")
OWN_ORDER = ("longest", "duplicates", "worst")  # the other filters keep the order of the files

# Each sign of a row and its meaning.
MEANINGS = {
    "✗": "bad",
    "!": "all of its answers are lost",
    ">": "cut",
    "=": "duplicate",
    "~": "nearly a duplicate",
    "e": "held out for the evaluation",
}


class RowStates:
    """The state of every row, and its length once the model's tokens are counted. With `drops_long`, rows longer than
    the limit are left out, otherwise they are cut."""

    def __init__(self, scan: Scan, lengths: Lengths | None, drops_long: bool = False) -> None:
        self.scan, self.lengths, self._drops_long = scan, lengths, drops_long
        self.good = scan.good()

    def place(self, row: int) -> int | None:
        """The place of `row` among the good rows, which is its index in `lengths`. None for a bad row."""
        if isinstance(self.good, range):
            return row if row in self.good else None
        at = bisect_left(self.good, row)
        return at if at < len(self.good) and self.good[at] == row else None

    def select(self, kind: Kind, limit: int) -> Sequence[int]:
        """The rows of a filter, in the order of the list. Takes a second or two for millions of rows."""
        scan, lengths, good = self.scan, self.lengths, self.good
        if kind == "bad":
            refused = [good[place] for place in lengths.refused] if lengths else []
            bad = scan.positions(BAD)
            return array("I", sorted({*bad, *refused})) if refused else bad
        if kind == "duplicates":  # the duplicates of a row stand together, after it
            return array("I", sorted(scan.alike(), key=lambda row: (scan.twins[row], row)))
        if kind == "cut" and lengths:
            return array("I", (good[place] for place, tokens in enumerate(lengths.longest) if tokens > limit))
        if kind == "longest" and lengths:
            places = sorted(range(len(good)), key=lengths.longest.__getitem__, reverse=True)
            return array("I", (good[place] for place in places))
        return array("I")

    def signs(self, row: int, limit: int) -> str:
        """Up to three characters of MEANINGS."""
        if row >= self.scan.rows:
            return ""
        state = self.scan.states[row]
        if state & BAD:
            return "✗"
        first = ""
        place = self.place(row) if self.lengths else None
        if self.lengths and place is not None:
            if place in self.lengths.refused:
                first = "✗"
            elif not self.lengths.learned(place, limit, self._drops_long):
                first = "!"
            elif self.lengths.longest[place] > limit:
                first = ">"
        twin = "=" if state & EXACT else "~" if state & NEAR else ""
        return first + twin + ("e" if state & HELD_OUT else "")

    def problem(self, row: int) -> str:
        """Why nothing can be learned from `row`; "" if something can, or if it is not known."""
        if problem := self.scan.problems.get(row):
            return problem.message
        place = self.place(row) if self.lengths else None
        return self.lengths.refused.get(place, "") if self.lengths and place is not None else ""
