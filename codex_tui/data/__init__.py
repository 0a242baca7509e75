"""A dataset before a run: its rows, its check, its figures, and advice on what to change."""
