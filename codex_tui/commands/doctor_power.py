"""What `doctor` finds out about sleep and batteries."""

from __future__ import annotations

from collections.abc import Iterator

from codex_tui.commands.doctor_finding import Finding
from codex_tui.machine.power import check_sleep
from training.contract.power import Battery, read_battery

LID = "closing the lid still suspends it; the run goes on afterwards"


def power_findings(wsl: int) -> Iterator[Finding]:
    """Examine what keeps this machine awake while a run trains, and its battery. `wsl` is the version of WSL."""
    battery = read_battery()
    yield _examine_sleep(wsl, battery)
    if battery is None:
        yield Finding("battery", "ok", "none")
        return
    level = "" if battery.percent is None else f"{battery.percent} %, "
    state = "in use" if battery.in_use else "plugged in"
    advice = "keeper.park_on_battery = true in a profile parks its runs meanwhile" if battery.in_use else ""
    yield Finding("battery", "ok", f"{level}{state}", advice)


def _examine_sleep(wsl: int, battery: Battery | None) -> Finding:
    sleep = check_sleep(wsl)
    if sleep.holds_off == "all":
        return Finding("sleep", "ok", f"held off by {sleep.system} while a run trains", LID if battery else "")
    if sleep.holds_off == "idle":
        text = f"held off by {sleep.system} while a run trains, unless someone asks for it"
        return Finding("sleep", "ok", text, "a person at the machine itself may hold off that too")
    text = f"not held off while a run trains: {sleep.problem}"
    if not (wsl or battery):  # a server or a container does not sleep
        return Finding("sleep", "ok", text)
    remedy = "in Windows, Settings, Power: never sleep when plugged in" if wsl else "the run goes on after a sleep"
    return Finding("sleep", "warning", text, remedy)
