"""Rows that say the same: word for word, or but for case, punctuation and a few words.

Near duplicates share 80 % of their three-word pieces with an earlier row. Candidates are found by MinHash (one
permutation, in bands), so that the work grows with the rows, not with their pairs.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Sequence

NEAR_ROWS = 50_000
"""Up to so many rows near duplicates are looked for; in longer files only those that have the very same words."""
SIMILAR = 0.8
PIECE = 3  # words
MOST_PIECES = 2048  # of a row; of a longer one those with the smallest hashes stand for all, which keeps the ratio
BINS, BAND = 48, 4  # of two rows that share 80 %, one pair in five hundred is overlooked
MOST_CANDIDATES = 24  # compared with a row at most: rows made from one template all look a little alike

# A sign that changes the meaning, as the minus in 3 - 4, is a word; so is each character of a script without spaces.
_WORD = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]|[^\W぀-ヿ㐀-鿿豈-﫿]+|[^\w\s.,;:!?'\"…’‘“”*_`()-]|(?<=\s)-(?=[\s\d])")


class Duplicates:
    """Told each row in turn, knows the earlier one that says the same.

    `rows` is how many there will be at most; it decides whether near duplicates are looked for.
    """

    def __init__(self, rows: int) -> None:
        self.near_counted = rows <= NEAR_ROWS
        self._exact, self._normal = _Seen(rows), _Seen(rows)
        self._ids: dict[str, int] = {}
        self._pieces: dict[int, array[int]] = {}
        self._began: dict[int, int] = {}  # of the rows that are near to an earlier one
        self._bands: list[dict[int, tuple[int, ...]]] = [{} for _ in range(BINS // BAND)] if self.near_counted else []

    def exact(self, position: int, texts: Sequence[str]) -> int:
        """The first row of the very same texts; `position` itself where that is new."""
        return self._exact.first(_digest(texts), position)

    def near(self, position: int, text: str) -> int:
        """The row that began with what `text` says, which one in between may have said nearly as well; `position`
        itself where `text` is new."""
        words = words_of(text)
        if (first := self._normal.first(_digest(words), position)) != position:
            return self._began.get(first, first)
        if not self.near_counted:
            return position
        pieces = self._pieces_of(words)
        keys = _band_keys(pieces)
        candidates: dict[int, None] = {}
        for band, key in zip(self._bands, keys, strict=True):
            candidates.update(dict.fromkeys(band.get(key, ())))
        mine = set(pieces)
        for candidate in list(candidates)[:MOST_CANDIDATES]:
            others = self._pieces[candidate]
            if min(len(others), len(mine)) >= SIMILAR * max(len(others), len(mine)):
                shared = len(mine.intersection(others))
                if shared >= SIMILAR * (len(mine) + len(others) - shared):
                    self._began[position] = self._began.get(candidate, candidate)
                    break
        self._pieces[position] = pieces
        for band, key in zip(self._bands, keys, strict=True):
            if len(known := band.get(key, ())) < MOST_CANDIDATES:
                band[key] = (*known, position)
        return self._began.get(position, position)

    def _pieces_of(self, words: list[str]) -> array[int]:
        """Hashes of every three words in a row, ascending. The same for the same rows in the same order."""
        ids = [self._ids.setdefault(word, len(self._ids)) for word in words]
        ids += [-1] * (PIECE - len(ids))
        found = sorted(set(map(hash, zip(*(ids[start:] for start in range(PIECE)), strict=False))))
        return array("q", found[:MOST_PIECES])


class _Seen:
    """Which digest was seen first where: a table of fixed size, 12 bytes a slot where a dict takes a hundred."""

    def __init__(self, most: int) -> None:
        slots = 1 << max(4, (2 * most).bit_length())
        self._mask = slots - 1
        self._digests = array("Q", bytes(8 * slots))
        self._places = array("I", bytes(4 * slots))

    def first(self, digest: int, position: int) -> int:
        slot = digest & self._mask
        while known := self._digests[slot]:
            if known == digest:
                return self._places[slot]
            slot = slot + 1 & self._mask
        self._digests[slot], self._places[slot] = digest, position
        return position


def words_of(text: str) -> list[str]:
    """The words of `text` without case and punctuation; of a text without words what stands in it."""
    folded = text.casefold()
    return _WORD.findall(folded) or folded.split()


def _digest(texts: Sequence[str]) -> int:
    """64 bits, never 0."""
    whole = "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "little") or 1


def _band_keys(pieces: array[int]) -> list[int]:
    """MinHash by one permutation: the smallest piece in each bin; an empty bin has that of the next one."""
    smallest = {piece % BINS: piece for piece in reversed(pieces)}
    signature, last = [0] * BINS, smallest[min(smallest)]
    for place in range(BINS - 1, -1, -1):
        signature[place] = last = smallest.get(place, last)
    return [hash(tuple(signature[start : start + BAND])) for start in range(0, BINS, BAND)]
