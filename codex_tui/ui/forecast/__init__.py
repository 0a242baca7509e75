"""The memory forecast, wherever a screen shows it."""
