"""Run directories as a viewer reads them: list, follow, state, outcome, resume point."""
