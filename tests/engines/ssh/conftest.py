"""A run that the remote "box" trains, and the profile that names it."""

from __future__ import annotations

from support.sent_runs import profile, remote, run

__all__ = ["profile", "remote", "run"]
