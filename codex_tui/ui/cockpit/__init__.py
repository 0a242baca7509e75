"""The cockpit: one run, live or ended."""
