"""What suspends or ends a run on this machine while nobody looks: its sleep, and WSL2 that shuts down."""

from __future__ import annotations

import subprocess
from typing import Literal, NamedTuple

from codex_tui.machine import facts
from training.contract.power import find_sleep_inhibitor, read_battery
from training.memory.wsl import wsl

TRY_SECONDS = 15.0  # Windows needs some for its PowerShell


class SleepCheck(NamedTuple):
    """Whether sleep can be held off: all of it, only that of an idle machine, or none. `system` does it; `problem` says
    why it does not."""

    holds_off: Literal["all", "idle", "none"]
    system: str = ""
    problem: str = ""


def check_sleep(wsl_version: int) -> SleepCheck:
    """Hold off sleep for a moment, as a run does while it trains."""
    inhibitor = find_sleep_inhibitor("codex-tui doctor", wsl_version)
    if inhibitor is None:
        reason = "powershell.exe can't be started from here" if wsl_version else "systemd-logind does not run"
        return SleepCheck("none", problem=reason)
    problem = "it does not answer"
    for number, command in enumerate(inhibitor.commands):
        try:
            tried = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TRY_SECONDS, cwd="/"
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if tried.returncode == 0:
            return SleepCheck("idle" if number else "all", inhibitor.system)
        problem = (tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"])[-1]
    return SleepCheck("none", inhibitor.system, f"{inhibitor.system} refuses it: {problem}")


def find_power_warnings(inhibits_sleep: bool) -> tuple[str, ...]:
    """Return a sentence for each thing here that suspends or ends a run. Nothing is started to find out."""
    version = wsl()
    warnings = []
    if version and not facts.stays_up_without_terminal(facts.wsl_idle_timeouts()):
        warnings.append("WSL2 shuts down and ends the run when its last terminal closes: see codex-tui doctor.")
    if inhibits_sleep and (version or read_battery()) and find_sleep_inhibitor("", version) is None:
        warnings.append("Nothing can keep this machine awake, so the run stands still while it sleeps.")
    return tuple(warnings)
