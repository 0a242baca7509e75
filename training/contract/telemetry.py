"""Switches off what the libraries of the Hub report about this machine. Both programs do this."""

from __future__ import annotations

import os

OPT_OUTS = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def opt_out() -> None:
    """Set the variables that the libraries read when they are imported. A person's own values count more."""
    for name, value in OPT_OUTS.items():
        os.environ.setdefault(name, value)
