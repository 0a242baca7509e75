"""The tables of a profile: every field of a fine-tune, in the terms of transformers, TRL and PEFT. This
file has the card, the model and the adapter. The other tables are beside it: `dataset_table.py`, `training_tables.py`,
`launch_tables.py`, how and where a run is started, and `run_tables.py`, how it is kept.

Every field has a default, so that a profile says only what matters to it. Each field's text says what it costs and
buys; it is the help in the app, what `codex-tui profile explain` prints and the comment in the shipped profiles, all
from here (`codex_tui.profiles.schema` reads it).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_MIB = 10_000_000
ATTENTION_AND_MLP = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def field(default: Any, text: str, *, unit: str = "", form: str = "", **limits: Any) -> Any:
    """A field: what it costs and buys, the unit of its number, the form of its text in words if that has a pattern, and
    pydantic's limits on it."""
    extra: dict[str, Any] = {name: words for name, words in (("unit", unit), ("form", form)) if words}
    return Field(default, description=text, json_schema_extra=extra or None, **limits)


GpuNumber = Annotated[int, Field(ge=0, le=255)]


class Table(BaseModel):
    """Strict: a number in quotes is a mistake, not a number."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True, allow_inf_nan=False, strict=True)


class Hardware(Table):
    """The card, and how much of it the run may take."""

    device: Literal["auto", "cpu"] | GpuNumber | Annotated[list[GpuNumber], Field(min_length=1)] = field(
        "auto",
        'Which device trains: "auto" takes the first GPU, or the CPU where there is none; a number takes that GPU '
        "(as nvidia-smi counts them) and leaves the others free; a list, as [0, 1], trains on these GPUs together, "
        'with one process each; "cpu" forces the CPU.',
    )
    vram_limit_mib: Annotated[int, Field(ge=256, le=MAX_MIB)] | None = field(
        None,
        "The most GPU memory that the run may use, CUDA context included. Beyond it the run fails at once, instead"
        " of spilling into slow shared memory without a word (WSL2). Unset: the card's memory less "
        "display_reserve_mib.",
        unit="MiB",
    )
    display_reserve_mib: Annotated[int, Field(ge=0, le=MAX_MIB)] = field(
        300,
        "GPU memory left for the desktop and other programs. Too little lets them push the run out of memory; 0 "
        "suits a card without a screen.",
        unit="MiB",
    )
    pause_above_celsius: Annotated[int, Field(ge=40, le=110)] | None = field(
        None,
        "Above this temperature the run saves a checkpoint and waits until the card is 8 °C cooler. Costs time on "
        "hot days. Unset: the run never waits; only the card's own throttling protects it.",
        unit="°C",
    )
    pinned_limit_mib: Annotated[int, Field(ge=0, le=MAX_MIB)] | None = field(
        None,
        "The most page-locked host memory that the run may use; it makes offloading fast. Unset: as much as this "
        "machine allows (tested at start; WSL2 allows 1 to 2 GB). 0: slower, but avoids an out-of-memory error "
        "when memory is in fact free.",
        unit="MiB",
    )

    @property
    def first_device(self) -> int | str:
        """The device, or the first one of several. The forecast is for this card: the others take the same memory."""
        return self.device[0] if isinstance(self.device, list) else self.device


class Model(Table):
    """The base model, as `FastLanguageModel.from_pretrained` takes it."""

    name: Annotated[str, Field(min_length=1)] = field(
        ...,
        'A Hub id, a local folder ("./…" starts at the profile\'s folder), or the shipped "demo:llama". More '
        "parameters know more, and cost memory and time.",
    )
    revision: str | None = field(
        None,
        "A branch, tag or commit on the Hub, so that the model does not change under you. Costs nothing. Unset: "
        "the newest.",
    )
    max_seq_length: Annotated[int, Field(ge=16, le=1_048_576)] = field(
        2048,
        "The longest row in tokens; longer rows are cut. Activation memory grows with it, so halve it first when "
        "memory runs out.",
        unit="tokens",
    )
    load_in_4bit: bool = field(
        True,
        "Load the weights in 4 bits (NF4, QLoRA): a quarter of the memory of 16-bit weights, slightly slower steps.",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = field(
        "auto",
        "The number type of the computation: bfloat16 where the card supports it (RTX 30 and later), else float16,"
        " which uses the same memory but can overflow. float32 uses twice as much.",
    )
    offload_layers: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"] = field(
        0,
        "How many frozen layers stay in host memory and are copied to the card when needed. Each frees its weights"
        ' on the card, except for three that are in flight, and slows every step. "auto" offloads as many as the '
        "limit requires.",
        unit="layers",
    )
    offload_embedding: bool = field(
        False,
        "Keep the input embedding in host memory. Saves 1 GB on the card with Llama 3.1 8B and makes steps "
        "slightly slower; saves nothing where the output head shares it (Llama 3.2 1B and 3B).",
    )
    chat_template: Annotated[str, Field(min_length=1)] | None = field(
        None,
        'The chat format for a base model, which has none: a template of Unsloth ("chatml", "llama-3", "qwen-3", …), or'
        ' a file with a Jinja template ("./…"). Saved with the adapter, so that a chat uses it. Costs nothing. Unset: '
        "the model's own.",
    )


class Lora(Table):
    """The adapter, as `peft.LoraConfig` names it."""

    r: Annotated[int, Field(ge=1, le=1024)] = field(
        16, "The rank: how much the adapter can learn. Its weights, gradients and optimizer state grow with it."
    )
    lora_alpha: Annotated[int, Field(ge=1)] = field(
        16, "Scales the update by alpha / r. Costs nothing; a value equal to r is the plain choice."
    )
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = field(
        0.0, "0 keeps Unsloth's fast path. 0.05 may help with a few hundred rows; it costs some speed and memory."
    )
    bias: Literal["none", "all", "lora_only"] = field(
        "none", 'Which biases are trained: "none" keeps the fast path; the others add little.'
    )
    target_modules: Annotated[list[str], Field(min_length=1)] = field(
        ATTENTION_AND_MLP,
        "The linear layers that get an adapter. All seven learn best; without gate, up and down the adapter is "
        "about two thirds smaller.",
    )
    modules_to_save: list[str] = field(
        [],
        "Layers that are trained whole and saved with the adapter. The embeddings of a real model cost gigabytes: "
        "leave this empty unless you add words to the vocabulary.",
    )
    use_rslora: bool = field(
        False, "Scales by alpha / sqrt(r) instead, which is steadier at ranks of 64 and more. Costs nothing."
    )
