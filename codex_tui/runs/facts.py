"""Reads the facts of a run that do not change, such as its model and dataset, from config.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codex_tui.base.text import clean
from training.contract.config import ConfigError, ConfigTooNew, RowForm, RunConfig, get_table
from training.contract.files import open_file
from training.contract.run_directory import RunDirectory

MAX_NOTE = 500
"""Characters of a note. The rest of a longer file is not read."""


@dataclass(frozen=True)
class RunFacts:
    """The facts of one run. All texts are cleaned and safe to show. A value that the file does not have is "" or None.

    `config` is the whole file, or None if it can't be read. `newer` is one sentence if a newer Codex TUI wrote it.
    """

    name: str
    directory: str = ""
    profile_name: str = ""
    title: str = ""
    model: str = ""
    dataset: str = ""
    max_seq_length: int | None = None
    epochs: float | None = None
    device: int = 0  # index of the GPU that it trains on, of several the first, as nvidia-smi counts
    config: RunConfig | None = field(default=None, compare=False)
    newer: str = ""

    @property
    def short_model(self) -> str:
        """The model without its owner: "Llama-3.2-3B" of "meta-llama/Llama-3.2-3B"."""
        return self.model.rstrip("/").rpartition("/")[2]


def read_facts(run: RunDirectory) -> RunFacts:
    """Read the facts of `run`. Only its name and directory are set if config.json is missing or damaged."""
    name = clean(run.name)
    try:
        config = RunConfig.read(run.config)
    except ConfigTooNew as error:
        return RunFacts(name, clean(run.path), newer=clean(f"{error.message} {error.hint}"))
    except ConfigError:
        return RunFacts(name, clean(run.path))
    profile = config.profile
    training = get_table(profile, "training")
    epochs = training.get("num_train_epochs")
    return RunFacts(
        name=name,
        directory=clean(run.path),
        profile_name=clean(config.profile_name),
        title=clean(profile.get("title", "")),
        model=clean(get_table(profile, "model").get("name", "")),
        dataset=clean(config.dataset),
        max_seq_length=length if isinstance(length := get_table(profile, "model").get("max_seq_length"), int) else None,
        epochs=epochs if isinstance(epochs, int | float) and not training.get("max_steps") else None,
        device=_find_first_device(profile),
        config=config,
    )


def _find_first_device(profile: dict[str, Any]) -> int:
    device = get_table(profile, "hardware").get("device")
    first = device[0] if isinstance(device, list) and device else device
    return first if isinstance(first, int) else 0


def read_row_form(run: RunDirectory) -> RowForm:
    """Read the form of the rows that `run` learned from, as far as its config.json tells it."""
    try:
        return RunConfig.read(run.config).find_row_form()
    except ConfigError:
        return RowForm()


def suggest_chat(run: RunDirectory) -> str:
    """Return the sentence with the command that uses the adapter of `run`."""
    use = "Let it continue a text" if read_row_form(run).text else "Chat with it"
    return f"{use}: codex-tui chat {clean(run.name)}"


def read_note(run: RunDirectory) -> str:
    """Read the note of `run` as one clean line. Returns "" if there is none or if it can't be read."""
    try:
        with open_file(run.note) as file:
            text = file.read(MAX_NOTE * 4).decode(errors="replace")
    except OSError:
        return ""
    return tidy_note(text)[:MAX_NOTE]


def tidy_note(text: str) -> str:
    return clean(" ".join(text.split()))
