"""The profile: every knob of a fine-tune, in the terms of transformers, TRL and PEFT.

A profile is a TOML file with the tables below. Every field has a default, so that a profile says only what matters to
it; each description says what the field costs and buys. No secret belongs in a profile.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ATTENTION_AND_MLP = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

Steps = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True, allow_inf_nan=False)


class Hardware(Table):
    """The card, and how much of it the run may take."""

    device: Literal["auto", "cpu"] | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description='"auto" takes the first GPU and else the CPU; a number picks a GPU; "cpu" forces the CPU.',
    )
    vram_limit_mib: Annotated[int, Field(ge=256)] | None = Field(
        None,
        description="Most MiB the allocator may take; beyond it the run fails at once instead of spilling (WSL2).",
    )


class Model(Table):
    """The base model, as `FastLanguageModel.from_pretrained` takes it."""

    name: Annotated[str, Field(min_length=1)] = Field(
        description='A Hub id, a local folder ("./…": relative to the profile), or the shipped "demo:llama".'
    )
    revision: str | None = Field(None, description="A Hub branch, tag or commit; unset: the newest.")
    max_seq_length: Annotated[int, Field(ge=16, le=1_048_576)] = Field(
        2048, description="Longest row in tokens; the rest is cut. Activations grow in step with it."
    )
    load_in_4bit: bool = Field(True, description="NF4 weights (QLoRA): a quarter of the memory, slightly slower steps.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="What the arithmetic runs in; auto is bfloat16 where the device has it."
    )
    offload_layers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        0, description="Frozen layers kept in host memory and streamed in: less VRAM, slower steps."
    )


class Lora(Table):
    """The adapter, as `peft.LoraConfig` names it."""

    r: Annotated[int, Field(ge=1, le=1024)] = Field(16, description="Rank: what the adapter can learn, and its size.")
    lora_alpha: Annotated[int, Field(ge=1)] = Field(16, description="Scale: the update counts alpha / r.")
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="0 keeps Unsloth's fast path; more regularises small data sets."
    )
    bias: Literal["none", "all", "lora_only"] = Field(
        "none", description='Which biases learn; "none" is the fast path.'
    )
    target_modules: Annotated[list[str], Field(min_length=1)] = Field(
        ATTENTION_AND_MLP, description="The linear layers that get an adapter."
    )
    modules_to_save: list[str] = Field([], description="Layers trained whole and saved with the adapter; costly.")
    use_rslora: bool = Field(False, description="Scale by alpha / sqrt(r): steadier at high rank.")


class Dataset(Table):
    """The rows, and how many of them are held out."""

    path: str | None = Field(
        None, description='A JSONL file; relative to the profile. "demo:zombie-waves" is the shipped sample.'
    )
    eval_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="Share of the rows held out for the eval loss; 0: no evaluation."
    )
    max_eval_rows: Annotated[int, Field(ge=1)] = Field(
        200,
        description="Most rows held out: an evaluation takes as long as that many steps without learning.",
    )
    system_prompt: str | None = Field(None, description="A system message put before every row that has none.")
    on_bad_rows: Literal["refuse", "skip"] = Field(
        "refuse",
        description='"refuse" stops before training and lists the bad rows; "skip" trains on the others.',
    )


class Training(Table):
    """The optimisation, as `transformers.TrainingArguments` names it."""

    num_train_epochs: Annotated[float, Field(gt=0)] = Field(1.0, description="Passes over the data.")
    max_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Ends after that many steps; overrides epochs."
    )
    per_device_train_batch_size: Steps = Field(1, description="Rows at once: memory grows with it.")
    gradient_accumulation_steps: Steps = Field(
        4, description="Batches added up before a step: a bigger batch for no memory."
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(2e-4, description="Peak learning rate.")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = Field(
        "linear", description="How the learning rate falls after the warm-up."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(10, description="Steps over which the learning rate rises.")
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(0.01, description="Pull towards zero.")
    max_grad_norm: Annotated[float, Field(ge=0)] = Field(1.0, description="Gradients are clipped to this norm; 0: not.")
    optim: Literal["adamw_8bit", "paged_adamw_8bit", "adamw_torch", "adamw_torch_fused"] = Field(
        "adamw_8bit", description="8-bit AdamW keeps its state in a quarter of the memory."
    )
    gradient_checkpointing: Literal["unsloth"] | bool = Field(
        "unsloth", description='"unsloth" recomputes activations and offloads them to the host: least VRAM.'
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(3407, description="Of the adapter, the order and the split.")
    logging_steps: Steps = Field(1, description="Steps between two points of the loss chart.")


class Evaluation(Table):
    """What is asked during the run."""

    eval_steps: Steps | None = Field(None, description="Steps between evaluations; unset: ten a run.")
    per_device_eval_batch_size: Steps = Field(1, description="Rows at once in an evaluation.")
    sample_prompt: str | None = Field(
        None, description="The fixed question answered at each evaluation; unset: the first held-out row's."
    )
    sample_max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = Field(96, description="Length of that answer.")


class Checkpoints(Table):
    """What can be gone back to."""

    save_steps: Steps | None = Field(None, description="Steps between checkpoints; unset: five a run.")
    save_total_limit: Annotated[int, Field(ge=1)] = Field(
        2, description="Older checkpoints are deleted beyond this many."
    )


class Profile(Table):
    """A whole profile. `title` and `description` are what the picker shows."""

    title: str = Field("", description="A line for the picker.")
    description: str = Field("", description="What the profile is for.")
    hardware: Hardware = Hardware()
    model: Model
    lora: Lora = Lora()
    dataset: Dataset = Dataset()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()

    @field_validator("title", "description")
    @classmethod
    def _one_text(cls, text: str) -> str:
        return text.strip()

    @model_validator(mode="after")
    def _possible(self) -> Profile:
        if self.model.load_in_4bit and self.model.dtype == "float32":
            raise ValueError("model.dtype: float32 is not possible with load_in_4bit = true; use auto or bfloat16")
        return self
