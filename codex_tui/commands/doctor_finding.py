"""What `doctor` and `remote doctor` find, and how they print it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SIGNS = {"ok": "✓", "warning": "!", "bad": "✗"}


@dataclass(frozen=True)
class Finding:
    topic: str
    state: Literal["ok", "warning", "bad"]
    found: str
    advice: str = ""


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each of the findings."""
    from codex_tui.base.text import clean

    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        advice = f" → {finding.advice}" if finding.advice else ""
        print(clean(f"{SIGNS[finding.state]} {finding.topic:<{width}}  {finding.found}{advice}"))
