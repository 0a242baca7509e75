"""What the app and the trainer agree on: the profile, the run directory and its events. No torch, no textual."""
