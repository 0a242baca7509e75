"""A run over there, and its mirror here."""

from __future__ import annotations

from support.mirrors import here, there

__all__ = ["here", "there"]
