"""Sends a run to a remote: the files of its dataset once, and its directory with the paths of that machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec

from codex_tui.base.errors import BadInput, CodexError, convert_os_error
from codex_tui.base.progress import OnProgress, Progress, ignore_progress
from codex_tui.engines.ssh import frames, mirror
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import RemoteFailed
from training.contract import files
from training.contract.config import RunConfig, get_table
from training.contract.model_path import is_path
from training.contract.run_directory import RunDirectory

RUNS, DATASETS, CACHE = "data/runs", "data/datasets", "cache"  # folders below CODEX_TUI_HOME over there
LOOK_SECONDS = 10.0


def send_run(connection: Connection, root: str, run: RunDirectory, report: OnProgress = ignore_progress) -> str:
    """Send `run` to the home `root` of Codex TUI over there, an absolute path. Returns its folder there, which has the
    name of the run or, if that is taken, a similar one. A run that was sent before is found again.

    Raises BadInput if a file of the run can't be used over there, CodexError if it can't be sent.
    """
    config = RunConfig.read(run.config)
    _require_model(connection, config)
    try:
        config = _move_dataset(connection, root, config, report)
        texts = {path.name: path.read_bytes() for path in (run.profile, run.book) if path.is_file()}
        template, profile = _read_template(config), _make_local_profile(config)
        changed = msgspec.structs.replace(
            config, python="", cache=f"{root}/{CACHE}", chat_template=template, profile=profile
        )
    except OSError as error:
        raise convert_os_error(error) from None
    texts["config.json"] = changed.to_json().encode()
    for number in count(1):
        folder = f"{root}/{RUNS}/{run.name}{f'-{number}' if number > 1 else ''}"
        if connection.send(texts, folder):
            return folder
        if known_folder := find_sent_run(connection, root, folder, run):
            return known_folder
    raise AssertionError


def find_sent_run(connection: Connection, root: str, folder: str, run: RunDirectory) -> str:
    """Find the run over there, in `folder` or beside it; "" if there is none."""
    answer = frames.ask(connection, root, "find", LOOK_SECONDS, folder=folder, **mirror.identify(run))
    return next((frame.folder for frame in answer if frame.kind == "state"), "")


def _require_model(connection: Connection, config: RunConfig) -> None:
    name = str(get_table(config.profile, "model").get("name") or "")
    if not is_path(name):
        return
    try:
        connection.run(["test", "-d", name])
    except RemoteFailed:
        raise BadInput(
            f"model.name is a folder of this machine, {name}, and {connection.name} has no such folder.",
            f"Name a model of the Hub, or copy it: rsync -a {name}/ {connection.host}:{name}/",
        ) from None


def _read_template(config: RunConfig) -> str:
    """Return the text of the chat template if the profile names a file of this machine."""
    choice = str(get_table(config.profile, "model").get("chat_template") or "")
    if config.chat_template or not is_path(choice):
        return config.chat_template
    try:
        return files.read(Path(choice)).decode()
    except UnicodeDecodeError:
        raise BadInput(f"The chat template {choice} is not a text in UTF-8.", "Change model.chat_template.") from None


def _make_local_profile(config: RunConfig) -> dict[str, object]:
    """Return the profile for over there, where this run is a local one."""
    launch = get_table(config.profile, "launch")
    return config.profile | {"launch": launch | {"engine": "local"}} if "engine" in launch else config.profile


def _move_dataset(connection: Connection, root: str, config: RunConfig, report: OnProgress) -> RunConfig:
    """Send the files of the dataset, unless they are there. Returns `config` with their paths over there."""
    if config.files is None:
        return config
    paths = [*map(Path, config.files), *map(Path, config.eval_files)]
    names = [f"{number:04d}-{path.name}" for number, path in enumerate(paths)]
    folder = f"{root}/{DATASETS}/{_hash_all(paths, names, report)}"
    try:
        connection.send(dict(zip(names, paths, strict=True)), folder, report)
    except FileNotFoundError as error:
        raise CodexError(f"{error.filename} is gone.", "Put it back, then try it again.") from None
    remote_paths = [f"{folder}/{name}" for name in names]
    return msgspec.structs.replace(
        config, files=remote_paths[: len(config.files)], eval_files=remote_paths[len(config.files) :]
    )


def _hash_all(paths: Sequence[Path], names: Sequence[str], report: OnProgress) -> str:
    """Return one checksum of all files and their names."""
    total, done, digest = sum(path.stat().st_size for path in paths), 0, hashlib.sha256()
    for path, name in zip(paths, names, strict=True):
        digest.update(f"{name} {path.stat().st_size}\n".encode())
        with files.open_file(path) as file:
            while data := file.read(2**20):
                digest.update(data)
                done += len(data)
                report(Progress("reading the dataset", done, total))
    return digest.hexdigest()
