"""Facts about this machine that decide how training goes here: read once, for `doctor`. Nothing is changed."""

from __future__ import annotations

import configparser
import getpass
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base import locations
from training.contract import files
from training.memory.nvml import NvmlUnavailable, load_nvml

LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "KillUserProcesses")


@dataclass(frozen=True)
class GpuFacts:
    """The first GPU, as its driver describes it; None where the driver does not tell."""

    name: str
    driver: str | None
    cuda: tuple[int, int] | None  # the newest that the driver supports
    total_mib: int | None
    free_mib: int | None
    capability: tuple[int, int] | None
    count: int


def gpu_facts() -> GpuFacts | str:
    """The facts, or why there are none, in words."""
    try:
        nvml = load_nvml()
    except NvmlUnavailable as unavailable:
        return str(unavailable)

    def ask(function: str, *arguments: object) -> object | None:
        try:
            return getattr(nvml, function)(*arguments)
        except (nvml.NVMLError, AttributeError):
            return None

    count = ask("nvmlDeviceGetCount")
    handle = ask("nvmlDeviceGetHandleByIndex", 0) if count else None
    if handle is None:
        return "the NVIDIA driver is there, but knows no GPU"
    memory = ask("nvmlDeviceGetMemoryInfo", handle)
    cuda = ask("nvmlSystemGetCudaDriverVersion_v2")
    driver, name = ask("nvmlSystemGetDriverVersion"), ask("nvmlDeviceGetName", handle)
    capability = ask("nvmlDeviceGetCudaComputeCapability", handle)
    return GpuFacts(
        name=str(name or "NVIDIA GPU"),
        driver=None if driver is None else str(driver),
        cuda=(cuda // 1000, cuda % 1000 // 10) if isinstance(cuda, int) else None,
        total_mib=None if memory is None else int(getattr(memory, "total", 0)) >> 20,
        free_mib=None if memory is None else int(getattr(memory, "free", 0)) >> 20,
        capability=(int(capability[0]), int(capability[1])) if isinstance(capability, tuple | list) else None,
        count=count if isinstance(count, int) else 1,
    )


def wsl_idle_timeouts(users: Path = Path("/mnt/c/Users")) -> dict[str, str]:
    """What .wslconfig says of shutting down when idle: vmIdleTimeout, instanceIdleTimeout (milliseconds, -1 is
    never). {} where it says nothing."""
    timeouts: dict[str, str] = {}
    with suppress(OSError):
        for path in users.glob("*/.wslconfig"):
            parser = configparser.ConfigParser(strict=False, interpolation=None)
            with suppress(configparser.Error, OSError, UnicodeDecodeError):
                parser.read_string(files.read(path).decode("utf-8-sig"))
                for section in parser.sections():
                    for option in ("vmIdleTimeout", "instanceIdleTimeout"):
                        if value := parser.get(section, option, fallback=""):
                            timeouts[option] = value.strip()
    return timeouts


def stays_up_without_terminal(timeouts: dict[str, str]) -> bool:
    """Whether WSL2 goes on after its last terminal has closed, by what .wslconfig says."""
    return timeouts.get("vmIdleTimeout") == "-1" and timeouts.get("instanceIdleTimeout") == "-1"


def killed_at_logout(
    etc: Path = Path("/etc/systemd"),
    linger: Path = Path("/var/lib/systemd/linger"),
    cgroup: Path = Path("/proc/self/cgroup"),
) -> bool:
    """Does systemd end what is started here when this person's last session closes?

    It does where logind is set so; and whatever logind is set to, it ends what the person's own manager started, as
    most desktops' terminals. Lingering prevents both.
    """
    with suppress(OSError, KeyError):
        if (linger / getpass.getuser()).exists():
            return False
        if re.search(r"/user@\d+\.service/", cgroup.read_text()):
            return True
    return _kills_user_processes(etc)


def _kills_user_processes(etc: Path) -> bool:
    """As logind says itself, else as its files do: what distributions build in differs."""
    with suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(["busctl", "get-property", *LOGIND], capture_output=True, text=True, timeout=2)
        if asked.returncode == 0:
            return asked.stdout.split() == ["b", "true"]
    set_to = ""
    with suppress(OSError):
        for path in [etc / "logind.conf", *sorted((etc / "logind.conf.d").glob("*.conf"))]:
            if path.is_file():
                values = re.findall(r"^\s*KillUserProcesses\s*=\s*(\w+)", path.read_text(), re.M)
                set_to = values[-1] if values else set_to  # the last one counts
    return set_to.lower() in ("yes", "true", "1", "on")


def disk_free_gib() -> float:
    """Where runs and the training environment are kept."""
    return shutil.disk_usage(existing(locations.data_home())).free / 2**30


def existing(folder: Path) -> Path:
    """`folder`, or the nearest above it that is there."""
    while not os.path.exists(folder):  # noqa: PTH110  which takes what may not be looked at for missing
        folder = folder.parent
    return folder


def unwritable() -> list[Path]:
    """Of our folders for runs, settings and caches those in which nothing can be made."""
    homes = (locations.data_home(), locations.config_home(), locations.cache_home())
    return [home for home in homes if not (existing(home).is_dir() and os.access(existing(home), os.W_OK | os.X_OK))]


def hub_token() -> str | None:
    """Where a token for the Hugging Face Hub was found, never the token."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name):
            return f"in ${name}"
    hub = locations.expand_home(os.environ.get("HF_HOME") or locations.find_user_home() / ".cache" / "huggingface")
    path = locations.expand_home(os.environ.get("HF_TOKEN_PATH") or hub / "token")
    with suppress(OSError):
        if path.stat().st_size:
            return f"in {path}"
    return None


@dataclass(frozen=True)
class Terminal:
    columns: int
    rows: int
    colours: int  # 0: none, 2**24: all


def terminal() -> Terminal | None:
    """None where no terminal is attached."""
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        with suppress(OSError, ValueError, AttributeError):
            size = os.get_terminal_size(stream.fileno())  # type: ignore[union-attr]
            return Terminal(size.columns, size.lines, _colours())
    return None


def _colours() -> int:
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR") or term in ("", "dumb"):
        return 0
    if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or term.endswith("-direct"):
        return 2**24
    return 256 if "256" in term or term in ("xterm-kitty", "alacritty", "xterm-ghostty") else 16
