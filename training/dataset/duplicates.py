"""Finds rows that are equal, or that differ only in case, punctuation and a few words.

Near duplicates share 80 % of their three-word pieces with an earlier row. Candidates are found by MinHash (with one
permutation, in bands), so the work grows with the number of rows and not with the number of pairs.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Sequence

NEAR_ROWS = 50_000
"""Near duplicates are found in datasets of up to this many rows. In longer ones, only rows with the same words are."""
SIMILAR = 0.8  # share of pieces that near duplicates have in common
WORDS_PER_PIECE = 3
MAX_PIECES = 2048  # of a longer row, only the pieces with the smallest hashes count; this keeps the share the same
BINS, BAND = 48, 4  # with these, MinHash misses one in five hundred pairs that share 80 %
MAX_CANDIDATES = 24  # rows to compare one row with: rows from one template all look a little similar

# A sign that changes the meaning, such as the minus in 3 - 4, is a word. So is each character of a script that has no
# spaces between words.
_WORD = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]|[^\W぀-ヿ㐀-鿿豈-﫿]+|[^\w\s.,;:!?'\"…’‘“”*_`()-]|(?<=\s)-(?=[\s\d])")


class Duplicates:
    """Takes one row after the other, and finds the earlier row that is equal or similar.

    `rows` is the largest number of rows. It decides whether near duplicates are found.
    """

    def __init__(self, rows: int) -> None:
        self.near_counted = rows <= NEAR_ROWS
        self._exact, self._normal = _Seen(rows), _Seen(rows)
        self._ids: dict[str, int] = {}
        self._pieces: dict[int, array[int]] = {}
        self._originals: dict[int, int] = {}  # the first similar row, for each near duplicate
        self._bands: list[dict[int, tuple[int, ...]]] = [{} for _ in range(BINS // BAND)] if self.near_counted else []

    def exact(self, position: int, texts: Sequence[str]) -> int:
        """Find the first row with exactly these texts; `position` itself if there is none."""
        return self._exact.first(_digest(texts), position)

    def near(self, position: int, text: str) -> int:
        """Find the first similar row, directly or through similar rows in between; `position` itself if there is
        none."""
        words = split_words(text)
        if (first := self._normal.first(_digest(words), position)) != position:
            return self._originals.get(first, first)
        if not self.near_counted:
            return position
        pieces = self._pieces_of(words)
        keys = _band_keys(pieces)
        candidates: dict[int, None] = {}
        for band, key in zip(self._bands, keys, strict=True):
            candidates.update(dict.fromkeys(band.get(key, ())))
        own = set(pieces)
        for candidate in list(candidates)[:MAX_CANDIDATES]:
            others = self._pieces[candidate]
            if min(len(others), len(own)) >= SIMILAR * max(len(others), len(own)):
                shared = len(own.intersection(others))
                if shared >= SIMILAR * (len(own) + len(others) - shared):
                    self._originals[position] = self._originals.get(candidate, candidate)
                    break
        self._pieces[position] = pieces
        for band, key in zip(self._bands, keys, strict=True):
            if len(rows := band.get(key, ())) < MAX_CANDIDATES:
                band[key] = (*rows, position)
        return self._originals.get(position, position)

    def _pieces_of(self, words: list[str]) -> array[int]:
        """Hash every three consecutive words, and return the hashes in ascending order.

        They are the same for the same rows in the same order.
        """
        ids = [self._ids.setdefault(word, len(self._ids)) for word in words]
        ids += [-1] * (WORDS_PER_PIECE - len(ids))
        hashes = set(map(hash, zip(*(ids[start:] for start in range(WORDS_PER_PIECE)), strict=False)))
        return array("q", sorted(hashes)[:MAX_PIECES])


class _Seen:
    """Remembers the first position of each digest, in a table of fixed size.

    A slot takes 12 bytes; in a dict it would take a hundred.
    """

    def __init__(self, max_rows: int) -> None:
        slots = 1 << max(4, (2 * max_rows).bit_length())
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


def split_words(text: str) -> list[str]:
    """Split `text` into words, without case and punctuation. If it has no words, split it at its spaces."""
    folded = text.casefold()
    return _WORD.findall(folded) or folded.split()


def _digest(texts: Sequence[str]) -> int:
    """Compute a digest of 64 bits that is never 0."""
    whole = "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "little") or 1


def _band_keys(pieces: array[int]) -> list[int]:
    """Compute a MinHash with one permutation: the smallest piece in each bin. An empty bin takes the next one's."""
    smallest = {piece % BINS: piece for piece in reversed(pieces)}
    signature, last = [0] * BINS, smallest[min(smallest)]
    for place in range(BINS - 1, -1, -1):
        signature[place] = last = smallest.get(place, last)
    return [hash(tuple(signature[start : start + BAND])) for start in range(0, BINS, BAND)]
