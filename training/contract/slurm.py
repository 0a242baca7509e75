"""What the app and the keeper agree on about jobs of Slurm."""

from __future__ import annotations

JOB_VARIABLE = "CODEX_TUI_JOB"
"""The batch script that the app submits sets this variable to the job's id, so that the keeper knows its own job."""
