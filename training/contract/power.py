"""The power of this machine: whether it runs on battery, and which program keeps it from falling asleep.

The keeper uses both while a run trains; `codex-tui doctor` and a launch tell the person about them.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

POWER_SUPPLIES = Path("/sys/class/power_supply")
LOGIND = Path("/run/systemd/seats")  # logind makes this folder when it starts, and so does elogind
SYSTEM_BUS = Path("/run/dbus/system_bus_socket")  # by which one talks to it
POWERSHELL = "/mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe"
WSL_INTEROP = Path(
    "/proc/sys/fs/binfmt_misc"
)  # has WSLInterop or WSLInterop-late where Windows programs can be started

# 2147483649 is ES_CONTINUOUS | ES_SYSTEM_REQUIRED: the system stays awake until this thread ends; its screen may turn
# off. ReadLine waits, and returns null when the pipe to the keeper closes.
WINDOWS_SCRIPT = """
$power = Add-Type -PassThru -Namespace CodexTui -Name Power -MemberDefinition @'
[DllImport("kernel32.dll")] public static extern uint SetThreadExecutionState(uint flags);
'@
if ($power::SetThreadExecutionState([uint32]2147483649) -eq 0) { exit 1 }
while ($null -ne [Console]::In.ReadLine()) { }
"""


class Battery(NamedTuple):
    """The batteries of this machine together. `percent` is None if they don't tell."""

    in_use: bool
    percent: int | None = None


class SleepInhibitor(NamedTuple):
    """A program that holds off sleep until its stdin closes. `commands` are tried in this order until one runs."""

    system: Literal["systemd-logind", "Windows"]
    commands: tuple[tuple[str, ...], ...]


def read_battery(folder: Path = POWER_SUPPLIES) -> Battery | None:
    """Read the power supplies of this machine. Returns None if it has no battery. Under WSL2, the kernel shows those
    of the Windows laptop."""
    supplies = [_Supply(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []
    supplies = [
        supply for supply in supplies if supply.read("scope") != "Device"
    ]  # the battery of a mouse, for example
    batteries = [supply for supply in supplies if supply.is_battery]
    if not batteries:
        return None
    is_plugged_in = any(supply.read("online") == "1" for supply in supplies if not supply.is_battery)
    is_discharging = any(battery.read("status") == "Discharging" for battery in batteries)
    percents = [int(text) for battery in batteries if (text := battery.read("capacity")).isdigit()]
    return Battery(is_discharging and not is_plugged_in, round(sum(percents) / len(percents)) if percents else None)


class _Supply:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_battery = self.read("type") == "Battery" and self.read("present") != "0"

    def read(self, name: str) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return (self._path / name).read_text(encoding="utf-8").strip()
        return ""


def find_sleep_inhibitor(why: str, wsl: int) -> SleepInhibitor | None:
    """Find the program that keeps this machine awake, or None if there is none. `why` is shown to whoever asks the
    system what keeps it awake. `wsl` is the version of WSL, 0 on Linux itself."""
    if wsl:
        powershell = shutil.which("powershell.exe") or POWERSHELL
        if not (any(WSL_INTEROP.glob("WSLInterop*")) and os.access(powershell, os.X_OK)):
            return None
        import base64  # here, because it is for WSL alone

        script = base64.b64encode(WINDOWS_SCRIPT.encode("utf-16-le")).decode()
        command = (powershell, "-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand", script)
        return SleepInhibitor("Windows", (command,))
    program = shutil.which("systemd-inhibit") or shutil.which("elogind-inhibit")
    wait = shutil.which("cat")
    if not (LOGIND.is_dir() and SYSTEM_BUS.exists() and program and wait):
        return None
    # By default, a person who is logged in over SSH alone may hold off idleness, but no sleep that someone asks for.
    commands = (
        (program, f"--what={what}", "--who=Codex TUI", f"--why={why}", "--mode=block", wait)
        for what in ("sleep:idle", "idle")
    )
    return SleepInhibitor("systemd-logind", tuple(commands))
