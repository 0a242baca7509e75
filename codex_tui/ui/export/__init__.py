"""The screen that takes a run's model elsewhere, and shows what was exported."""
