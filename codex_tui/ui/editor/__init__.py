"""The profile editor: its screen, its form and its files."""
