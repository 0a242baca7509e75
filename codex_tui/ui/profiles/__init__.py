"""The profile picker, and the dialog that starts a run."""
