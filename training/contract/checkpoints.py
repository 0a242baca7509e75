"""Which checkpoints can be gone on from: read by the trainer, which does, and by the app, which says from which step.

`transformers.Trainer` writes a checkpoint file by file, and a resume from one without its optimizer or random state
goes on silently wrong. So a folder counts only when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from training.contract import files
from training.contract.run_directory import RunDirectory

PREFIX = "checkpoint-"
UNFINISHED = ".unfinished"
"""The folder in which a checkpoint is written before it is one."""
ARCHIVES = ("optimizer.pt", "rng_state.pth", "scheduler.pt")
STATE, ADAPTER = "trainer_state.json", "adapter_model.safetensors"
RESUME_FILES = (STATE, ADAPTER, *ARCHIVES)  # by a resume
CHECKSUMS = "checksums.json"
"""SHA-256 of each of these by its name; checkpoints of other trainers have none."""
MAX_HEADER_BYTES = 100_000_000  # bytes, as safetensors has it


def find_last_whole(folder: Path, *, thorough: bool = True) -> Path | None:
    """The newest whole checkpoint under `folder`, or None. See `is_whole`."""
    return next((path for path, damaged in check_each(folder, thorough=thorough) if not damaged), None)


def check_each(folder: Path, *, thorough: bool = True) -> Iterator[tuple[Path, str]]:
    """The checkpoints under `folder`, the newest first, each with its `find_damaged_file`. One is read when it is asked
    for."""
    for path in reversed(list_checkpoints(folder)):
        yield path, find_damaged_file(path, thorough=thorough)


def find_chat_adapter(run: RunDirectory, *, thorough: bool = True) -> Path | None:
    """Whose adapter a chat with `run` takes: the run's own folder, else the last whole checkpoint; None for neither."""
    return run.adapter if run.has_adapter() else find_last_whole(run.checkpoints, thorough=thorough)


def list_checkpoints(folder: Path) -> list[Path]:
    """All checkpoints under `folder`, whole or not, by their step."""
    try:
        found = [p for p in folder.iterdir() if p.name.startswith(PREFIX) and p.name[len(PREFIX) :].isdecimal()]
    except OSError:
        return []
    return sorted(found, key=parse_step)


def parse_step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def is_whole(checkpoint: Path, *, thorough: bool = True) -> bool:
    """Whether all that a resume reads is there, to its end. `thorough` reads every byte against its checksum; without
    it a file that was changed in its middle passes, and a list of runs does not take seconds."""
    return not find_damaged_file(checkpoint, thorough=thorough)


def find_damaged_file(checkpoint: Path, *, thorough: bool = True) -> str:
    """The name of the first file for which `checkpoint` is not whole, "" where it is. See `is_whole`."""
    if not _is_state_whole(checkpoint):
        return STATE
    if not is_adapter_whole(checkpoint / ADAPTER):
        return ADAPTER
    for name in ARCHIVES:
        if not _is_zip_whole(checkpoint / name, thorough):
            return name
    return _find_changed_file(checkpoint) if thorough else ""


def compute_checksums(checkpoint: Path) -> dict[str, str]:
    """The SHA-256 of each file that a resume reads. Raises OSError."""
    found = {}
    for name in RESUME_FILES:
        with files.open_file(checkpoint / name) as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


class _Logged(msgspec.Struct):
    step: int
    eval_loss: float | None = None


class _State(msgspec.Struct):
    """What a resume takes from trainer_state.json and trips over where it is something else."""

    global_step: int | float  # else 20.0 would be taken for 20
    log_history: list[_Logged]
    stateful_callbacks: dict[str, dict[str, Any] | list[dict[str, Any]]] = {}


def _is_state_whole(checkpoint: Path) -> bool:
    try:
        with files.open_file(checkpoint / STATE) as file:
            text = file.read().decode()  # msgspec skips a text without reading it
        try:
            step = msgspec.json.decode(text, type=_State).global_step
        except msgspec.MsgspecError:  # Python writes a loss that was no number as NaN, and alone reads that
            step = msgspec.convert(json.loads(text), _State).global_step
        return isinstance(step, int) and step == parse_step(checkpoint)
    except (OSError, ValueError, RecursionError):
        return False


def is_adapter_whole(path: Path) -> bool:
    """By the format: the length of a header, the header in JSON, and as many bytes as its last tensor ends at."""
    try:
        with files.open_file(path) as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > MAX_HEADER_BYTES:
                return False
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return bool(ends) and path.stat().st_size == 8 + length + max(ends)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, struct.error):
        return False


def _find_changed_file(checkpoint: Path) -> str:
    """The first file that its checksum does not fit, that of the checksums where they can't be read."""
    try:
        written, found = json.loads(files.read(checkpoint / CHECKSUMS)), compute_checksums(checkpoint)
        return (
            "" if written == found else next((name for name in RESUME_FILES if written[name] != found[name]), CHECKSUMS)
        )
    except FileNotFoundError:
        return ""  # of another trainer
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return CHECKSUMS


def _is_zip_whole(path: Path, thorough: bool) -> bool:
    try:
        with files.open_file(path) as file, zipfile.ZipFile(file) as archive:
            return bool(archive.namelist()) and (not thorough or archive.testzip() is None)
    except Exception:  # noqa: BLE001  zipfile raises what it likes for bytes that are no archive
        return False
