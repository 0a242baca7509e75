"""The run directory: everything there is to know about a run, on disk, so that any viewer can come and go.

    profile.toml    the profile as picked, byte for byte
    config.json     the resolved whole: every default explicit, dataset, interpreter; the trainer adds what really ran
    process.json    who trains: pid, create time and boot, so that a reused pid is never signalled
    events.jsonl    see `training.contract.events`
    trainer.log     stdout and stderr of the trainer
    control         a stop request
    exit.json       how the last trainer's process ended, where its parent lived to see it
    lock            held by the trainer while it lives (flock)
    checkpoints/    checkpoint-N folders as `transformers.Trainer` writes them
    adapter/        the result, in plain PEFT layout

Folders are 0700 and files 0600. No token or secret is ever written here.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, Literal

import msgspec

from training.contract import files

StopLevel = Literal["save", "terminate"]


class ProcessIdentity(msgspec.Struct):
    """A process that can't be mistaken for a later one with the same pid.

    `create_time` is seconds from the boot to its start, `boot` the id of that boot. A time of day would not do: it
    changes when the clock is set, and WSL2 sets it whenever the laptop has slept.
    """

    pid: int
    create_time: float
    attempt: int = 1
    boot: str = ""

    @classmethod
    def of(cls, pid: int, attempt: int = 1) -> ProcessIdentity | None:
        """The process that has `pid` now; None where there is none."""
        if (found := _look_up(pid)) is None:
            return None
        return cls(pid, found[1], attempt, _boot_id())

    @classmethod
    def current(cls, attempt: int = 1) -> ProcessIdentity:
        identity = cls.of(os.getpid(), attempt)
        assert identity is not None
        return identity

    def is_alive(self) -> bool:
        """True while that very process runs; a zombie counts as gone."""
        if (found := _look_up(self.pid)) is None:
            return False
        state, create_time = found
        return state not in "ZX" and create_time == self.create_time and self.of_this_boot()

    def of_this_boot(self) -> bool:
        """False where the machine was started again since."""
        return self.boot == _boot_id()


class Exit(msgspec.Struct):
    """How process `pid` ended: with an exit `code`, or by `signal`, such as SIGKILL; `for_memory`: the kernel took it
    because memory had run out. `parent` saw it, and is whom the launcher knew before the trainer spoke."""

    pid: int
    code: int | None = None
    signal: str = ""
    for_memory: bool = False
    parent: int = 0


def signal_name(number: int) -> str:
    """SIGKILL, say; the number of a real-time one, which has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _look_up(pid: int) -> tuple[str, float] | None:
    """The state letter of `pid` and the seconds from the boot to its start, as proc(5) has them."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the command's name before it may hold anything
    return fields[0].decode(), int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class RunDirectory:
    """Paths and small files of one run. Reading never changes anything; JSON files are replaced atomically."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.profile = self.path / "profile.toml"
        self.config = self.path / "config.json"
        self.process = self.path / "process.json"
        self.exit = self.path / "exit.json"
        self.reserve = self.path / ".reserve"
        self.events = self.path / "events.jsonl"
        self.log = self.path / "trainer.log"
        self.control = self.path / "control"
        self.lock = self.path / "lock"
        self.checkpoints = self.path / "checkpoints"
        self.adapter = self.path / "adapter"

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    def create(self) -> None:
        """Makes the directory. Raises FileExistsError where there is one already."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)

    def read_config(self) -> dict[str, Any]:
        """Raises OSError or ValueError (the file is missing or not JSON)."""
        try:
            config = json.loads(files.read(self.config))
        except RecursionError:
            raise ValueError(f"{self.config}: nested too deeply") from None
        if not isinstance(config, dict):
            raise ValueError(f"{self.config}: expected a JSON object")
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        files.write_atomically(self.config, json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def read_process(self) -> ProcessIdentity | None:
        try:
            return msgspec.json.decode(files.read(self.process), type=ProcessIdentity)
        except (OSError, ValueError, RecursionError):
            return None

    def write_process(self, identity: ProcessIdentity) -> None:
        files.write_atomically(self.process, msgspec.json.encode(identity).decode() + "\n")

    def read_exit(self) -> Exit | None:
        """How the trainer of process.json ended; None where that is not known."""
        try:
            found = msgspec.json.decode(files.read(self.exit), type=Exit)
        except (OSError, ValueError, RecursionError):
            return None
        process = self.read_process()
        return found if process and process.pid in (found.pid, found.parent) else None

    def write_exit(self, found: Exit) -> None:
        files.write_atomically(self.exit, msgspec.json.encode(found).decode() + "\n")

    def trainer_alive(self) -> bool:
        identity = self.read_process()
        return identity is not None and identity.is_alive()

    def request_stop(self, level: StopLevel = "save") -> None:
        """`save`: end the step, save a whole checkpoint and the adapter, end. `terminate`: end now, save nothing."""
        files.write_atomically(self.control, level + "\n")

    def stop_requested(self) -> StopLevel | None:
        try:
            text = files.read(self.control).decode(errors="replace").strip()
        except OSError:
            return None
        return "terminate" if text == "terminate" else "save" if text else None

    def clear_stop(self) -> None:
        self.control.unlink(missing_ok=True)

    def has_adapter(self) -> bool:
        return (self.adapter / "adapter_config.json").is_file()
