"""The launch dialog: its dataset field, its checks before the start, and the start itself."""
