"""The tables `[training]`, `[evaluation]` and `[checkpoints]` of a profile."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from training.contract.tables import Table, field

Steps = Annotated[int, Field(ge=1)]
MAX_BATCH = 4096
Rows = Annotated[int, Field(ge=1, le=MAX_BATCH)]


class Training(Table):
    """The optimization, as `transformers.TrainingArguments` names it."""

    num_train_epochs: Annotated[float, Field(gt=0, le=10_000)] = field(
        1.0,
        "Passes over the dataset. 1 to 3 is usual; with more, a small dataset is memorised. Costs only time.",
        unit="epochs",
    )
    max_steps: Annotated[int, Field(ge=1)] | None = field(
        None, "End after this many steps, whatever num_train_epochs says. For a quick trial.", unit="steps"
    )
    max_hours: Annotated[float, Field(gt=0, le=10_000)] | None = field(
        None,
        "End after this many hours of training. Steps and the fall of the learning rate are fitted to the measured "
        "speed, so that the last step is an end and no break; hours in which the run is parked do not count. Fewer "
        "rows may be learned. Unset: the run takes as long as it takes.",
        unit="hours",
    )
    per_device_train_batch_size: Rows = field(
        1,
        "Rows in one forward pass. More rows use the card better, but activation memory grows with each.",
        unit="rows",
    )
    gradient_accumulation_steps: Steps = field(
        4, "Batches added up before each optimizer step: as steady as a larger batch, in the memory of a small one.",
        unit="batches",
    )  # fmt: skip
    packing: Literal["auto", "pack", "flatten", "off"] = field(
        "auto",
        'Put the rows of a step end to end instead of padding them. "pack" fills passes of about max_seq_length tokens'
        ' for each row of a batch, "flatten" puts all rows of a step into one pass, and "auto" takes the size that is'
        " faster and fits well. A step has the same rows and the same gradient with each, and short rows train several"
        " times faster. Models that can't keep packed rows apart pad them.",
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = field(
        2e-4, "The peak of the schedule. Costs nothing. 2e-4 is usual for LoRA; halve it if the loss jumps."
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = field(
        "linear", "How the learning rate falls. Costs nothing. Cosine stays high for longer and ends more gently."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = field(
        10,
        "Steps during which the learning rate rises to its peak, while the optimizer's averages settle. Costs nothing.",
        unit="steps",
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = field(
        0.01, "Pulls the weights lightly towards zero, against overfitting. Costs nothing."
    )
    max_grad_norm: Annotated[float, Field(ge=0)] = field(
        1.0, "Gradients longer than this are clipped, so that one odd row can't ruin the adapter. Costs nothing; 0 does"
        " not clip.",
    )  # fmt: skip
    optim: Literal["adamw_8bit", "paged_adamw_8bit", "adamw_torch", "adamw_torch_fused"] = field(
        "adamw_8bit",
        "8-bit AdamW keeps 2 bytes of state for each adapter weight, plain AdamW 8, for nearly the same result. "
        "The paged variant moves them to host memory when the card is full.",
    )
    gradient_checkpointing: Literal["unsloth"] | bool = field(
        "unsloth",
        'Compute activations twice instead of keeping them. "unsloth" also moves each layer\'s input to host memory'
        " and uses the least of the card; true keeps them on the card; false is fastest and uses many times more.",
    )
    loss_tile_mib: Annotated[int, Field(ge=8, le=4096)] = field(
        256,
        "The loss is computed in tiles of this size, never over the whole vocabulary at once. A smaller tile saves"
        " memory in small models with long rows, and nothing in models of 1B and more, whose layers need more than"
        " the loss.",
        unit="MiB",
    )
    stop_after_bad_steps: Steps = field(
        3,
        "End the run after this many logged steps in a row with a NaN loss or one ten times the usual. Nothing is "
        "saved from the first of them on, so the last good checkpoint remains.",
        unit="steps",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = field(
        3407, "The same seed gives the same split, the same order and the same start. Costs nothing."
    )
    logging_steps: Steps = field(
        1, "Steps between two points of the loss chart. 1 draws every step and costs almost nothing.", unit="steps"
    )


class Evaluation(Table):
    """What is asked during the run."""

    eval_steps: Steps | None = field(
        None,
        "Steps between two evaluations. They cost time, not lasting memory. Unset: ten evaluations a run.",
        unit="steps",
    )
    per_device_eval_batch_size: Rows = field(
        1,
        "Rows in one forward pass of an evaluation. With packing, a pass holds the tokens of this many rows of "
        "max_seq_length, or of as many as a pass of training. No gradients are kept, but the activations must fit.",
        unit="rows",
    )
    patience: Steps | None = field(
        None,
        "End the run after this many evaluations in a row without a lower loss, and keep the adapter of the best "
        "one. Saves time and avoids overfitting; costs a checkpoint for each new best. Unset: all steps are "
        "trained and the last one counts.",
        unit="evaluations",
    )
    sample_prompt: str | None = field(
        None,
        "A fixed question that the model answers after each evaluation; costs one short answer. Unset: the "
        "question of the first evaluation row.",
    )
    samples: Annotated[int, Field(ge=1, le=16)] = field(
        1,
        "How many questions the model answers after each evaluation: sample_prompt, then the first evaluation rows. "
        "Costs one short answer each; as many as fit into one forward pass are answered together.",
        unit="questions",
    )
    sample_max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = field(
        96, "Length limit for each answer, in tokens. Costs time, and a little memory for each token.", unit="tokens"
    )
    book: Annotated[str, Field(min_length=1)] | None = field(
        None,
        'A question book: a JSONL file (see codex-tui judge --help), or the shipped "demo:zombie-waves". At each '
        "evaluation and at the end, the model answers its questions, and the share that passes is a curve beside the "
        "loss. Costs time: 40 short answers take as long as training on a few hundred rows, in each evaluation.",
    )


class Checkpoints(Table):
    """What can be gone back to."""

    save_steps: Steps | None = field(
        None, "Steps between two checkpoints: the most that a crash can cost. Each checkpoint uses disk. Unset: five "
        "checkpoints a run.",
        unit="steps",
    )  # fmt: skip
    save_total_limit: Annotated[int, Field(ge=1)] = field(
        2, "Keep at most this many checkpoints; older ones are deleted. With 2, one that was cut short leaves a whole"
        " one.",
        unit="checkpoints",
    )  # fmt: skip
