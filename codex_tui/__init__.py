"""Codex TUI: the training cockpit for one small GPU."""

__version__ = "0.1.0"
