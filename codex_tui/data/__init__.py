"""A dataset before a run: its rows, its check, its figures, and what to change about it."""
