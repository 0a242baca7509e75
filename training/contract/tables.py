"""The tables of a profile: every knob of a fine-tune, in the terms of transformers, TRL and PEFT.

Every field has a default, so that a profile says only what matters to it. Each field's text says what it costs and
buys; it is the help in the app, what `codex-tui profile explain` prints and the comment in the shipped profiles, all
from here (`codex_tui.profiles.schema` reads it).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_MIB = 10_000_000
ATTENTION_AND_MLP = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def knob(default: Any, text: str, *, unit: str = "", **limits: Any) -> Any:
    """A field: what it costs and buys, the unit of its number, and pydantic's limits on it."""
    return Field(default, description=text, json_schema_extra={"unit": unit} if unit else None, **limits)


Steps = Annotated[int, Field(ge=1)]
Rows = Annotated[int, Field(ge=1, le=4096)]


class Table(BaseModel):
    """Strict: a number in quotes is a mistake, not a number."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True, allow_inf_nan=False, strict=True)


class Hardware(Table):
    """The card, and how much of it the run may take."""

    device: Literal["auto", "cpu"] | Annotated[int, Field(ge=0, le=255)] = knob(
        "auto",
        'Costs nothing: "auto" takes the first GPU and else the CPU, a number picks a GPU as nvidia-smi counts them '
        'and leaves the others alone, "cpu" forces the CPU.',
    )
    vram_limit_mib: Annotated[int, Field(ge=256, le=MOST_MIB)] | None = knob(
        None,
        "The most the run may take of the card, CUDA context included: beyond it the run fails at once instead of "
        "spilling silently into slow shared memory (WSL2); unset, what the card has less display_reserve_mib.",
        unit="MiB",
    )
    display_reserve_mib: Annotated[int, Field(ge=0, le=MOST_MIB)] = knob(
        300,
        "Left to the desktop and other programs on the same card: too little lets them push the run out of its "
        "memory, 0 suits a card without a screen.",
        unit="MiB",
    )
    pause_above_celsius: Annotated[int, Field(ge=40, le=110)] | None = knob(
        None,
        "Costs time on hot days: from this temperature on the run is saved and waits until the card is 8 °C cooler; "
        "unset, the card's own throttling alone protects it.",
        unit="°C",
    )
    pinned_limit_mib: Annotated[int, Field(ge=0, le=MOST_MIB)] | None = knob(
        None,
        "The most page-locked host memory the run may take, which makes offloading fast; unset, as much as this "
        "machine gives when tried (WSL2 gives 1 to 2 GB), and 0 does without: slower steps, no false out-of-memory.",
        unit="MiB",
    )


class Model(Table):
    """The base model, as `FastLanguageModel.from_pretrained` takes it."""

    name: Annotated[str, Field(min_length=1)] = knob(
        ...,
        'A Hub id, a local folder ("./…": relative to the profile) or the shipped "demo:llama"; the more parameters, '
        "the more memory, time and knowledge.",
    )
    revision: str | None = knob(
        None, "Costs nothing: a Hub branch, tag or commit keeps the model from changing under you; unset: the newest."
    )
    max_seq_length: Annotated[int, Field(ge=16, le=1_048_576)] = knob(
        2048,
        "The longest row; what is longer is cut. Activations grow in step with it, so halving it is the first thing "
        "to try when memory runs out.",
        unit="tokens",
    )
    load_in_4bit: bool = knob(
        True, "NF4 weights (QLoRA) take a quarter of the memory of 16-bit ones, for slightly slower steps."
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = knob(
        "auto",
        "What the arithmetic runs in: bfloat16 where the card has it (RTX 30 and later), else float16, which costs "
        "the same memory but can overflow; float32 costs twice.",
    )
    offload_layers: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"] = knob(
        0,
        "Frozen layers kept in host memory and streamed in as they are needed: each one frees its weights on the "
        'card, but for three that are in flight, and slows every step; "auto" takes as many as the limit asks for.',
        unit="layers",
    )
    offload_embedding: bool = knob(
        False,
        "Keeps the input embedding in host memory: 1 GiB less on the card with Llama 3.1 8B for a slightly slower "
        "step, nothing where the output head shares it (Llama 3.2 1B and 3B).",
    )


class Lora(Table):
    """The adapter, as `peft.LoraConfig` names it."""

    r: Annotated[int, Field(ge=1, le=1024)] = knob(
        16, "Rank: what the adapter can learn; weights, gradients and optimiser state grow in step with it."
    )
    lora_alpha: Annotated[int, Field(ge=1)] = knob(
        16, "Costs nothing: scales the update by alpha / r; equal to r is the plain choice."
    )
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = knob(
        0.0, "0 keeps Unsloth's fast path; 0.05 may help a few hundred rows, for some speed and memory."
    )
    bias: Literal["none", "all", "lora_only"] = knob(
        "none", 'Which biases learn: "none" keeps the fast path, and the others add little.'
    )
    target_modules: Annotated[list[str], Field(min_length=1)] = knob(
        ATTENTION_AND_MLP,
        "The linear layers that get an adapter: all seven learn best; without gate, up and down the adapter shrinks "
        "by about two thirds.",
    )
    modules_to_save: list[str] = knob(
        [],
        "Layers trained whole and saved with the adapter: the embeddings of a real model cost gigabytes; leave it "
        "empty unless you add words to the vocabulary.",
    )
    use_rslora: bool = knob(
        False, "Costs nothing: scales by alpha / sqrt(r) instead, which is steadier at ranks of 64 and more."
    )


Column = Annotated[str, Field(min_length=1)] | None


class Dataset(Table):
    """The rows, and how many of them are held out."""

    path: str | None = knob(
        None,
        "A JSONL, JSON, CSV or Parquet file, a folder of them or a pattern (data/*.jsonl), relative to the profile; "
        '"owner/name" of the Hub; or the shipped sample "demo:zombie-waves". Unset, it is asked for at the launch.',
    )
    revision: str | None = knob(
        None, "Costs nothing: a branch, tag or commit of a dataset on the Hub keeps it from changing under you; unset: "
        "the newest.",
    )  # fmt: skip
    instruction_column: Column = knob(None, "The column that asks; unset: instruction, question, query or prompt.")
    response_column: Column = knob(
        None, "The column that answers, which is what is learned; unset: response, output, completion or answer."
    )
    context_column: Column = knob(None, "A column put below what is asked; unset: input or context, if there is one.")
    system_column: Column = knob(None, "A column with each row's own system message; unset: system, if there is one.")
    messages_column: Column = knob(
        None, "The column with whole conversations, OpenAI's or ShareGPT's; unset: messages or conversations."
    )
    text_column: Column = knob(
        None, "A column of plain text, learned whole and without a chat template; unset: text, where nothing asks."
    )
    eval_fraction: Annotated[float, Field(ge=0, lt=1)] = knob(
        0.05,
        "Share of the rows held out for the evaluation loss: it shows whether the model learns or only memorises; 0 "
        "trains on all and shows nothing.",
    )
    max_eval_rows: Annotated[int, Field(ge=1)] = knob(
        200, "Most rows held out: every evaluation goes through all of them, which costs time, not memory.", unit="rows"
    )
    system_prompt: str | None = knob(
        None,
        "Put before every row that has no system message: buys a fixed tone, costs its tokens in every row; say the "
        "same thing when you use the model.",
    )
    on_bad_rows: Literal["refuse", "skip"] = knob(
        "refuse", '"refuse" lists the bad rows before anything starts; "skip" trains on the others and says how many.'
    )


class Training(Table):
    """The optimisation, as `transformers.TrainingArguments` names it."""

    num_train_epochs: Annotated[float, Field(gt=0, le=10_000)] = knob(
        1.0,
        "Passes over the rows: 1 to 3 is usual, more makes a small dataset be learned by heart; costs time alone.",
        unit="epochs",
    )
    max_steps: Annotated[int, Field(ge=1)] | None = knob(
        None, "Ends after that many steps, whatever the epochs say: for a quick trial.", unit="steps"
    )
    per_device_train_batch_size: Rows = knob(
        1, "Rows at once: a fuller card works faster, but activations grow with every row.", unit="rows"
    )
    gradient_accumulation_steps: Steps = knob(
        4, "Batches added up before a step: the steadiness of a bigger batch at the memory of a small one.",
        unit="batches",
    )  # fmt: skip
    learning_rate: Annotated[float, Field(gt=0, le=1)] = knob(
        2e-4, "Costs nothing: the peak of the schedule; 2e-4 is usual for LoRA, halve it if the loss jumps."
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = knob(
        "linear", "Costs nothing: how the learning rate falls; cosine stays high for longer and lands more softly."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = knob(
        10, "Costs nothing: small steps first, while the optimiser's averages settle.", unit="steps"
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = knob(
        0.01, "Costs nothing: a light pull of the weights towards zero, against overfitting."
    )
    max_grad_norm: Annotated[float, Field(ge=0)] = knob(
        1.0, "Costs nothing: longer gradients are clipped to this, so that one odd row can't throw the adapter off; "
        "0 does not clip.",
    )  # fmt: skip
    optim: Literal["adamw_8bit", "paged_adamw_8bit", "adamw_torch", "adamw_torch_fused"] = knob(
        "adamw_8bit",
        "8-bit AdamW keeps 2 bytes of state for each adapter weight where plain AdamW keeps 8, for nearly the same "
        "result; paged moves them to the host when the card is full.",
    )
    gradient_checkpointing: Literal["unsloth"] | bool = knob(
        "unsloth",
        'Activations are computed twice instead of kept: "unsloth" also parks the layers\' inputs in host memory, '
        "which takes the least of the card; true keeps them on it; false is fastest and takes many times more.",
    )
    loss_tile_mib: Annotated[int, Field(ge=8, le=4096)] = knob(
        256,
        "The loss is computed in tiles of this size, never over the whole vocabulary at once: smaller frees memory in "
        "small models with long rows, nothing in models of 1B and more, whose layers need more than the loss.",
        unit="MiB",
    )
    stop_after_bad_steps: Steps = knob(
        3,
        "Logged steps in a row whose loss is no number, or ten times what is usual, after which the run ends; nothing "
        "is saved from the first of them on, so that the last good checkpoint stays.",
        unit="steps",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = knob(
        3407, "Costs nothing: the same seed gives the same split, the same order and the same start."
    )
    logging_steps: Steps = knob(
        1, "Steps between two points of the loss chart: costs next to nothing, 1 draws every step.", unit="steps"
    )


class Evaluation(Table):
    """What is asked during the run."""

    eval_steps: Steps | None = knob(
        None, "Steps between two evaluations, which cost time, not lasting memory; unset: ten a run.", unit="steps"
    )
    per_device_eval_batch_size: Rows = knob(
        1, "Rows at once in an evaluation: no gradients are kept, but their activations have to fit.", unit="rows"
    )
    patience: Steps | None = knob(
        None,
        "Evaluations in a row without a lower loss after which the run ends, with the adapter of the best one: saves "
        "time and overfitting, costs a checkpoint for each best; unset, all steps are taken and the last one counts.",
        unit="evaluations",
    )
    sample_prompt: str | None = knob(
        None,
        "The fixed question answered at each evaluation, for the price of one short answer; unset: the first held-out "
        "row's.",
    )
    sample_max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = knob(
        96, "The longest such answer: costs time, and a little memory for each token.", unit="tokens"
    )


class Checkpoints(Table):
    """What can be gone back to."""

    save_steps: Steps | None = knob(
        None, "Steps between two checkpoints: what a crash can cost at most; each takes disk; unset: five a run.",
        unit="steps",
    )  # fmt: skip
    save_total_limit: Annotated[int, Field(ge=1)] = knob(
        2, "Older checkpoints are deleted beyond this many: with 2, one cut short leaves a whole one.",
        unit="checkpoints",
    )  # fmt: skip


class Launch(Table):
    """What happens before the first step."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")] | None = knob(
        None, "What the runs are called, followed by a number; unset: the profile's own name."
    )
    probe: bool = knob(
        True,
        "Sends the longest row forward and backward before step 1: out-of-memory comes at once instead of after an "
        "hour, and the forecast learns what this card really takes; costs seconds.",
    )
    on_no_fit: Literal["warn", "refuse"] = knob(
        "warn", 'What to do where the forecast says that the run does not fit: "warn" tries it, "refuse" does not.'
    )
