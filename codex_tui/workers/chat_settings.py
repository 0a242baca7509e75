"""The settings of a chat that a person can change: the system message, and how the tokens of an answer are chosen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from codex_tui.base.errors import BadInput
from training.contract.chat_messages import ChatTurn, Generate
from training.contract.event_base import Count

EXPECTED = {
    "temperature": "a number from 0 (always the likeliest token) to 100",
    "top_p": "a number above 0 and up to 1 (all tokens)",
    "max_new_tokens": "a whole number of at least 1",
    "seed": "a whole number of at least 0, or nothing",
}
"""The settings that are numbers, each with the values that it can have."""


@dataclass(frozen=True)
class ChatSettings:
    """The settings of the next answers. A `system_prompt` of UNSET is the run's own; None is no system message."""

    system_prompt: str | UnsetType | None = UNSET
    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    seed: int | None = None

    def make_request(self, number: int, turns: list[ChatTurn], *, adapter: bool) -> Generate:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Generate(id=number, messages=turns, adapter=adapter, **values)

    @property
    def sampling(self) -> str:
        """How the tokens are chosen; "" for the likeliest token each time."""
        if not self.temperature:
            return ""
        parts = [f"temperature {self.temperature:g}"]
        parts += [f"top_p {self.top_p:g}"] if self.top_p < 1 else []
        parts += [f"seed {self.seed}"] if self.seed is not None else []
        return ", ".join(parts)


def parse_setting(name: str, text: str, label: str = "") -> Any:
    """Parse the value of a setting that is a number. Raises BadInput with one sentence about what it must be, in which
    the setting is called `label`."""
    value = text.strip()
    if not value and name == "seed":
        return None
    kind = Count if name == "seed" else get_type_hints(Generate, include_extras=True)[name]
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        raise BadInput(f"{label or name} {value or '(empty)'}: give {EXPECTED[name]}.") from None
