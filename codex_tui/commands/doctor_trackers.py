"""What `doctor` finds out about the trackers of the trainer's environment."""

from __future__ import annotations

from collections.abc import Iterator

from codex_tui.base.errors import CodexError
from codex_tui.commands.doctor_finding import Finding
from codex_tui.environment.stack import EnvironmentReport
from codex_tui.environment.trackers import find_versions, format_install
from training.contract.trackers import LABELS

TOPIC = "trackers"


def tracker_findings(report: EnvironmentReport | None) -> Iterator[Finding]:
    """Say which trackers the trainer's Python has. Only a profile that names one needs it."""
    if report is None:
        return
    try:
        versions = find_versions(report.python)
    except CodexError as error:
        yield Finding(TOPIC, "warning", error.message, error.hint)
        return
    found = ", ".join(f"{LABELS[tracker]} {version}" for tracker, version in versions.items() if version)
    missing = [tracker for tracker, version in versions.items() if not version]
    advice = f"only a profile's [tracking] needs one: {format_install(report.python, missing[:1])}" if missing else ""
    yield Finding(TOPIC, "ok", found or "none", "" if found else advice)
