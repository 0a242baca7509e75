"""Parses `--sweep TABLE.FIELD=VALUE,VALUE`, which trains one run for each combination of the values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from codex_tui.base.errors import BadInput
from codex_tui.profiles.overrides import parse_override

MAX_RUNS = 100  # each run that waits has a process of 10 MB
MAX_VALUE_LENGTH = 24  # of a value in a run's name
HINT = "Write it as --sweep training.learning_rate=1e-4,2e-4. The fields: codex-tui profile explain"
_SHORT_NAMES = {
    "learning_rate": "lr", "lora_alpha": "alpha", "lora_dropout": "dropout", "max_seq_length": "len",
    "num_train_epochs": "epochs", "max_steps": "steps", "per_device_train_batch_size": "batch",
    "gradient_accumulation_steps": "accum", "lr_scheduler_type": "", "warmup_steps": "warmup", "weight_decay": "wd",
    "max_grad_norm": "clip", "optim": "", "target_modules": "", "name": "", "path": "", "learn": "",
}  # fmt: skip
_OPEN, _CLOSE = "[{", "]}"


@dataclass(frozen=True)
class Variant:
    """One combination of the values. `label` names the values in the run's name, such as "lr1e-4-r8"."""

    overrides: dict[str, Any]
    label: str


def parse_sweep(options: list[str]) -> list[Variant]:
    """Return all combinations of the values, the last option's changing first. Without options, one without values.

    Raises BadInput, with the option, if one can't be parsed, names no field or has a value that is not valid for it,
    if a value or a field is there twice, or if there are too many combinations.
    """
    choices: dict[str, list[Variant]] = {}
    for option in options:
        field, equals, given = option.partition("=")
        field = field.strip()
        if field in choices:
            raise BadInput(f"--sweep {field} is there twice.", f"Give all values in one: --sweep {field}=A,B,C")
        choices[field] = _parse_values(field, given if equals else None)
    count = 1
    for values in choices.values():
        count *= len(values)
    if count > MAX_RUNS:
        raise BadInput(f"This sweep has {count:,} runs.", f"A sweep has at most {MAX_RUNS:,}. Give fewer values.")
    return [_combine(parts) for parts in product(*choices.values())]


def _parse_values(field: str, given: str | None) -> list[Variant]:
    texts = [None] if given is None else [text.strip() for text in _split(given)]
    if "" in texts:
        raise BadInput(f"--sweep {field}: a value is empty.", HINT)
    values = [Variant(parse_override(field, text, "--sweep", HINT), _make_label(field, text or "")) for text in texts]
    for number, value in enumerate(values):
        if value.overrides in [before.overrides for before in values[:number]]:
            raise BadInput(f"--sweep {field}: the value {texts[number]} is there twice.", "Give each value once.")
    return values


def _combine(parts: tuple[Variant, ...]) -> Variant:
    overrides: dict[str, Any] = {}
    for part in parts:
        overrides |= part.overrides
    return Variant(overrides, "-".join(part.label for part in parts))


def _make_label(field: str, text: str) -> str:
    """Name a value: "lr1e-4", "r8", "packing-off". Of a path or a model, only the last part counts."""
    name = field.rpartition(".")[2]
    short = _SHORT_NAMES.get(name, name.replace("_", "-"))
    value = re.sub(r"[^A-Za-z0-9.]+", "-", text.rstrip("/\"' ").rpartition("/")[2]).strip("-.")[:MAX_VALUE_LENGTH]
    return f"{short}{value}" if value[:1].isdigit() else "-".join(filter(None, (short, value)))


def _split(text: str) -> Iterator[str]:
    """Divide `text` at its commas, except for those in quotes and in brackets."""
    depth, quote, start = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPEN + _CLOSE:
            depth += 1 if character in _OPEN else -1
        elif character == "," and depth <= 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]
