"""Which values of a profile can't be had together, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.contract.profile import Profile


def impossible(profile: Profile) -> Iterator[tuple[str, str]]:
    """Each field whose value can't be had together with another's, and why."""
    model, training, lora = profile.model, profile.training, profile.lora
    if model.load_in_4bit and model.dtype == "float32":
        yield "model.dtype", "float32 is not possible with load_in_4bit = true; use auto or bfloat16"
    if model.offload_layers and not training.gradient_checkpointing:
        yield (
            "training.gradient_checkpointing",
            'offload_layers needs it: without, every layer stays on the card; use "unsloth" or true',
        )
    columns = profile.dataset
    pairs = [columns.instruction_column, columns.response_column, columns.context_column]
    if len([kind for kind in (any(pairs), columns.messages_column, columns.text_column) if kind]) > 1:
        yield (
            "dataset.messages_column" if columns.messages_column else "dataset.text_column",
            "a row is read in one way: name instruction and response, or messages, or text",
        )
    if both := sorted({*lora.target_modules} & {*lora.modules_to_save}):
        yield "lora.modules_to_save", f"{both[0]} is one of target_modules as well; it can have only one of the two"
    if model.offload_embedding and "embed_tokens" in lora.modules_to_save:
        yield "model.offload_embedding", "an embedding that is trained (modules_to_save) has to stay on the card"
