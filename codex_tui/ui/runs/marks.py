"""The marked runs of the list. Their order gives each of them its letter and the colour of its curve."""

from __future__ import annotations

from collections.abc import Collection

from codex_tui.ui.themes import MAX_CURVES


class Marks:
    def __init__(self) -> None:
        self.names: list[str] = []  # in the order in which the runs were marked

    def __len__(self) -> int:
        return len(self.names)

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each marked run, from 0."""
        return {name: number for number, name in enumerate(self.names)}

    def toggle(self, name: str) -> bool:
        """Mark a run, or take its mark away. Returns False if no more runs fit in one comparison."""
        if name in self.names:
            self.names.remove(name)
        elif len(self.names) == MAX_CURVES:
            return False
        else:
            self.names.append(name)
        return True

    def rename(self, name: str, new: str) -> None:
        self.names = [new if marked == name else marked for marked in self.names]

    def keep_only(self, names: Collection[str]) -> None:
        """Take the marks of runs away that are not among `names`, because they were deleted."""
        self.names = [name for name in self.names if name in names]

    def clear(self) -> None:
        self.names = []
