"""Suggests what a person meant who mistyped a name."""

from __future__ import annotations

from collections.abc import Iterable


def find_close_match(word: str, known: Iterable[str]) -> str:
    """Return the word of `known` that is most similar to `word`, "" if none is similar."""
    import difflib  # only a mistake needs it

    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the sentence "Did you mean …?", or "" if no word of `known` is similar to `word`."""
    close = find_close_match(word, known)
    return f"Did you mean {close}?" if close else ""
