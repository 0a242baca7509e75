"""Finds out whether a model is on this machine, and otherwise how much a run must download before it can start.

The answer comes within seconds, also where there is no network: the trainer would need minutes of imports for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from codex_tui.base.errors import CodexError
from codex_tui.hub.client import connect
from training.contract.model_path import find_model_folder
from training.contract.profile import Profile

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

REQUEST_SECONDS = 4.0
MAX_SECONDS = 6.0  # for the whole question: a look-up of the host's name has no time limit of its own
DEMO = "demo:"
FOUR_BIT = "bnb-4bit"
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first pattern of which there is a file counts
SMALL_FILES = ("*.json", "*.txt", "*.jinja", "*.model")  # configuration and tokenizer


@dataclass(frozen=True)
class MissingModel:
    """A model that is not on this machine. `size` is what a run downloads, in bytes; None if it is not known.

    `problem` says in a sentence why it can't be downloaded, "" if it can; `hint` says what to do. `at_most`: the
    trainer may take a smaller 4-bit copy instead.
    """

    name: str
    size: int | None = None
    at_most: bool = False
    problem: str = ""
    hint: str = ""

    @property
    def note(self) -> str:
        """One sentence: how much is downloaded, or why that is not possible."""
        if self.problem:
            return f"{self.name} is not on this machine. {self.problem}"
        if self.size is None:
            return f"{self.name} is not on this machine: the run downloads it first."
        amount = f"{'at most ' if self.at_most else ''}{self.size / 1e9:.1f} GB"
        return f"{self.name} is not on this machine: the run downloads {amount} first."


def find_missing_model(profile: Profile, profile_file: Path) -> MissingModel | None:
    """Return None if the model of `profile`, loaded from `profile_file`, is on this machine. Asks the Hub otherwise, so
    call it in a thread."""
    name, revision = profile.model.name, profile.model.revision
    if name.startswith(DEMO):
        return None
    if folder := find_model_folder(name, profile_file.parent):
        if (folder / "config.json").is_file():
            return None
        problem = "The folder has no config.json." if folder.is_dir() else "There is no such folder."
        return MissingModel(name, problem=problem, hint="Check model.name in the profile.")
    from huggingface_hub import HfApi  # noqa: F401  before the clock starts

    copied = profile.model.load_in_4bit and FOUR_BIT not in name
    names = [name, *_list_four_bit_copies(name)] if copied else [name]
    if any(find_cached_model(each, revision) for each in names):
        return None
    return _ask_hub(name, revision, at_most=copied)


def _list_four_bit_copies(name: str) -> list[str]:
    """The repositories that Unsloth may load in place of `name`, if the profile asks for 4 bits."""
    base = f"unsloth/{name.rpartition('/')[2]}"
    return [f"{base}-unsloth-{FOUR_BIT}", f"{base}-{FOUR_BIT}"]


def _ask_hub(name: str, revision: str | None, *, at_most: bool) -> MissingModel:
    """Ask the Hub for the sizes of the model's files. Waits at most MAX_SECONDS."""
    answers: list[MissingModel] = []

    def ask() -> None:
        try:
            with connect(name, "model") as hub:
                info = hub.api.model_info(name, revision=revision, files_metadata=True, timeout=REQUEST_SECONDS)
            answers.append(MissingModel(name, _sum_sizes(info), at_most))
        except CodexError as error:
            answers.append(MissingModel(name, problem=error.message, hint=error.hint))
        except OSError as error:
            answers.append(MissingModel(name, problem=f"The Hub can't be asked: {error.strerror or error}."))

    thread = threading.Thread(target=ask, daemon=True)  # a daemon does not keep the app from ending
    thread.start()
    thread.join(MAX_SECONDS)
    if answers:
        return answers[0]
    return MissingModel(name, problem="The Hub does not answer.", hint="Check the network, then run it again.")


def _sum_sizes(info: ModelInfo) -> int | None:
    sizes = {file.rfilename: file.size for file in info.siblings or () if "/" not in file.rfilename}
    needed = [*_choose_weights(sizes), *(name for name in sizes if any(fnmatch(name, each) for each in SMALL_FILES))]
    known = [size for name in needed if (size := sizes[name]) is not None]
    return sum(known) if known else None


def _choose_weights(names: Iterable[str]) -> list[str]:
    names = list(names)
    return next((files for pattern in WEIGHTS if (files := [n for n in names if fnmatch(n, pattern)])), [])


def find_cached_model(name: str, revision: str | None) -> Path | None:
    """Return the folder with the weights of the model in the Hub's cache, if it has all of them. Unsloth writes the
    names of its copies in lower case, so the case does not matter."""
    from huggingface_hub import constants

    folder_name = f"models--{name.replace('/', '--')}".lower()
    try:
        folders = [each for each in Path(constants.HF_HUB_CACHE).iterdir() if each.name.lower() == folder_name]
    except OSError:
        return None
    snapshots = (_find_snapshot(folder, revision) for folder in folders)
    return next((snapshot for snapshot in snapshots if _has_weights(snapshot)), None)


def _find_snapshot(folder: Path, revision: str | None) -> Path:
    commit = revision or "main"
    with suppress(OSError, ValueError):  # `revision` may be a commit
        commit = (folder / "refs" / commit).read_text().strip()
    return folder / "snapshots" / commit


def _has_weights(snapshot: Path) -> bool:
    try:
        names = {path.name for path in snapshot.iterdir() if path.exists()}  # a broken link is not a file
        index = snapshot / "model.safetensors.index.json"
        if index.name in names:
            return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) <= names
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return "config.json" in names and bool(_choose_weights(names))
