"""Finds the checkpoints that a run can resume from. Used by the trainer to resume and by the app to show the step.

`transformers.Trainer` writes a checkpoint file by file. A resume without the optimizer or the random state would train
wrongly without an error. So only a whole checkpoint counts.
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
"""The folder in which a checkpoint is written before it is published."""
STATE, ADAPTER = "trainer_state.json", "adapter_model.safetensors"
RANDOM_STATE, RANDOM_STATES = "rng_state.pth", "rng_state_*.pth"
"""The file with the random state of the trainer, and those of several processes that trained together."""
ARCHIVES = ("optimizer.pt", RANDOM_STATE, "scheduler.pt")
RESUME_FILES = (STATE, ADAPTER, *ARCHIVES)
"""The files that a resume of one process reads."""
CHECKSUMS = "checksums.json"
"""The file with the SHA-256 of each file that a resume reads, by its name. Checkpoints of other trainers have no such
file."""
MAX_STATE_BYTES = 2**30  # of trainer_state.json, which grows by each logged step
MAX_HEADER_BYTES = 16 * 2**20  # of an adapter; one of 100,000 tensors has less


def find_last_whole(folder: Path, *, thorough: bool = True) -> Path | None:
    """Return the newest whole checkpoint under `folder`, or None. See `is_whole`."""
    return next((path for path, damaged in check_each(folder, thorough=thorough) if not damaged), None)


def check_each(folder: Path, *, thorough: bool = True) -> Iterator[tuple[Path, str]]:
    """Yield the checkpoints under `folder`, the newest first, each with its first damaged file ("" if it is whole). A
    checkpoint is read only when the caller asks for it."""
    for path in reversed(list_checkpoints(folder)):
        yield path, find_damaged_file(path, thorough=thorough)


def find_chat_adapter(run: RunDirectory, *, thorough: bool = True) -> Path | None:
    """Return the folder with the adapter for a chat: the run's own adapter, else the last whole checkpoint."""
    return run.adapter if run.has_adapter() else find_last_whole(run.checkpoints, thorough=thorough)


def list_checkpoints(folder: Path) -> list[Path]:
    """List all checkpoints under `folder`, whole or not, in the order of their steps."""
    try:
        checkpoints = [p for p in folder.iterdir() if p.name.startswith(PREFIX) and p.name[len(PREFIX) :].isdecimal()]
    except OSError:
        return []
    return sorted(checkpoints, key=parse_step)


def parse_step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def is_whole(checkpoint: Path, *, thorough: bool = True) -> bool:
    """Return whether all files that a resume reads are there and complete.

    `thorough` compares every byte with the checksums. Without it, a change in the middle of a file is not noticed, but
    a list of runs does not take seconds.
    """
    return not find_damaged_file(checkpoint, thorough=thorough)


def find_damaged_file(checkpoint: Path, *, thorough: bool = True) -> str:
    """Return the name of the first missing or damaged file, "" if `checkpoint` is whole. See `is_whole`."""
    if not _is_state_whole(checkpoint):
        return STATE
    if not is_adapter_whole(checkpoint / ADAPTER):
        return ADAPTER
    for name in _list_archives(checkpoint):
        if not _is_zip_whole(checkpoint / name, thorough):
            return name
    return _find_changed_file(checkpoint) if thorough else ""


def _list_archives(checkpoint: Path) -> list[str]:
    """List the names of the files that `torch.save` has written and a resume reads."""
    random_states = sorted(path.name for path in checkpoint.glob(RANDOM_STATES)) or [RANDOM_STATE]
    return ["optimizer.pt", *random_states, "scheduler.pt"]


def compute_checksums(checkpoint: Path) -> dict[str, str]:
    """Compute the SHA-256 of each file that a resume reads. Raises OSError."""
    return {name: _compute_checksum(checkpoint / name) for name in (STATE, ADAPTER, *_list_archives(checkpoint))}


def compute_adapter_checksum(folder: Path) -> str:
    """Compute the SHA-256 of the adapter's weights in `folder`. Raises OSError."""
    return _compute_checksum(folder / ADAPTER)


def _compute_checksum(path: Path) -> str:
    with files.open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Logged(msgspec.Struct):
    step: int
    eval_loss: float | None = None


class _State(msgspec.Struct):
    """The values of trainer_state.json that a resume reads. It fails if one has another type."""

    global_step: int | float  # with int alone, msgspec would accept 20.0 as 20
    log_history: list[_Logged]
    stateful_callbacks: dict[str, dict[str, Any] | list[dict[str, Any]]] = {}


def _is_state_whole(checkpoint: Path) -> bool:
    try:
        with files.open_file(checkpoint / STATE) as file:
            text = file.read(MAX_STATE_BYTES).decode()  # checks UTF-8, which msgspec does not do for skipped texts
        try:
            step = msgspec.json.decode(text, type=_State).global_step
        except msgspec.MsgspecError:  # Python writes NaN for such a loss, and only Python reads it
            step = msgspec.convert(json.loads(text), _State).global_step
        return isinstance(step, int) and step == parse_step(checkpoint)
    except (OSError, ValueError, RecursionError):
        return False


def is_adapter_whole(path: Path) -> bool:
    """Check the safetensors format: the length of the header, the JSON header, and the size of the file."""
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
    """Return the first file that differs from its checksum, or CHECKSUMS if the checksums can't be read."""
    try:
        written, computed = json.loads(files.read(checkpoint / CHECKSUMS)), compute_checksums(checkpoint)
        if written == computed:
            return ""
        missing = next((name for name in written if name not in computed), "")  # such as the state of one process
        return missing or next((name for name in computed if written[name] != computed[name]), CHECKSUMS)
    except FileNotFoundError:
        return ""  # another trainer wrote the checkpoint
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return CHECKSUMS


def _is_zip_whole(path: Path, thorough: bool) -> bool:
    try:
        with files.open_file(path) as file, zipfile.ZipFile(file) as archive:
            return bool(archive.namelist()) and (not thorough or archive.testzip() is None)
    except Exception:  # noqa: BLE001  zipfile raises many types of errors for a damaged archive
        return False
