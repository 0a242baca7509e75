"""What a run is, as its config.json says it: names and numbers that stay the same, made safe to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codex_tui.base.text import clean
from training.contract.run_directory import RunDirectory


@dataclass(frozen=True)
class RunFacts:
    """Every text has been through `clean`; what the file does not say is "" or None."""

    name: str
    directory: str = ""
    profile_name: str = ""
    title: str = ""
    model: str = ""
    dataset: str = ""
    epochs: float | None = None
    device: int = 0  # the card that it trains on, as nvidia-smi counts
    config: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def short_model(self) -> str:
        """The model without its owner: "Llama-3.2-3B" of "meta-llama/Llama-3.2-3B"."""
        return self.model.rstrip("/").rpartition("/")[2]


def read_facts(run: RunDirectory) -> RunFacts:
    """The facts of `run`; only its name and place where config.json is not there or damaged."""
    name = clean(run.name)
    try:
        config = run.read_config()
    except (OSError, ValueError):
        return RunFacts(name, clean(run.path))
    profile = table_of(config, "profile")
    training = table_of(profile, "training")
    epochs = training.get("num_train_epochs")
    return RunFacts(
        name=name,
        directory=clean(run.path),
        profile_name=clean(config.get("profile_name", "")),
        title=clean(profile.get("title", "")),
        model=clean(table_of(profile, "model").get("name", "")),
        dataset=clean(config.get("dataset", "")),
        epochs=epochs if isinstance(epochs, int | float) and not training.get("max_steps") else None,
        device=device if isinstance(device := table_of(profile, "hardware").get("device"), int) else 0,
        config=config,
    )


def table_of(owner: dict[str, Any], key: str) -> dict[str, Any]:
    """What a config has under `key`, where that is a table, as it should be."""
    value = owner.get(key)
    return value if isinstance(value, dict) else {}
