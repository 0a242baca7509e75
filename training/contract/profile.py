"""The profile: a TOML file with the tables of `training.contract.tables`. No secret belongs in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from training.contract.combinations import impossible
from training.contract.tables import (
    Checkpoints,
    Dataset,
    Evaluation,
    Hardware,
    Launch,
    Lora,
    Model,
    Table,
    Training,
    knob,
)


class Profile(Table):
    """A whole profile. `title` and `description` are what the picker shows."""

    extends: Annotated[str, Field(min_length=1)] | None = knob(
        None, "Another profile, by name or file: whatever is not set here is as it is there."
    )
    title: str = knob("", "A line for the picker.")
    description: str = knob("", "What the profile is for.")
    hardware: Hardware = Hardware()
    model: Model
    lora: Lora = Lora()
    dataset: Dataset = Dataset()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    launch: Launch = Launch()

    @field_validator("title", "description")
    @classmethod
    def _one_text(cls, text: str) -> str:
        return text.strip()

    @model_validator(mode="after")
    def _possible(self) -> Profile:
        if found := dict(impossible(self)):
            message = "; ".join(f"{field}: {what}" for field, what in found.items())
            raise PydanticCustomError("impossible", "{message}", {"message": message, "fields": found})
        return self
