"""The tables of a profile: every field of a fine-tune, in the terms of transformers, TRL and PEFT. How a run is started
and kept is in `run_tables.py` beside this.

Every field has a default, so that a profile says only what matters to it. Each field's text says what it costs and
buys; it is the help in the app, what `codex-tui profile explain` prints and the comment in the shipped profiles, all
from here (`codex_tui.profiles.schema` reads it).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_MIB = 10_000_000
ATTENTION_AND_MLP = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def field(default: Any, text: str, *, unit: str = "", **limits: Any) -> Any:
    """A field: what it costs and buys, the unit of its number, and pydantic's limits on it."""
    return Field(default, description=text, json_schema_extra={"unit": unit} if unit else None, **limits)


Steps = Annotated[int, Field(ge=1)]
Rows = Annotated[int, Field(ge=1, le=4096)]
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


Column = Annotated[str, Field(min_length=1)] | None


class Dataset(Table):
    """The rows, and how many of them are held out."""

    path: str | None = field(
        None,
        "The dataset: a JSONL, JSON, CSV or Parquet file, a folder of them, or a pattern (data/*.jsonl), relative "
        'to the profile; "owner/name" on the Hub; or the shipped sample "demo:zombie-waves". Unset: the launch '
        "asks for it.",
    )
    revision: str | None = field(
        None, "A branch, tag or commit of a dataset on the Hub, so that it does not change under you. Costs nothing. "
        "Unset: the newest.",
    )  # fmt: skip
    config: Column = field(
        None,
        "The configuration of a dataset on the Hub, as its page names it, or one of its folders. Costs nothing. Unset: "
        "the repository's default.",
    )
    split: Column = field(
        None,
        "The split to train on, by its name in the names of the files and folders or on the Hub. Unset: train, or the "
        "files that belong to no split.",
    )
    eval_path: Column = field(
        None,
        "A file, a folder or a pattern, relative to the profile, whose rows are the evaluation set. They are not "
        "trained on. Unset: the dataset's validation split; without one, eval_fraction of the rows.",
    )
    instruction_column: Column = field(
        None, "The column with the question. Unset: instruction, question, query or prompt."
    )
    response_column: Column = field(
        None,
        "The column with the answer, which is what the model learns. Unset: response, output, completion or answer.",
    )
    context_column: Column = field(
        None, "A column that is appended to the question. Unset: input or context, if there is one."
    )
    system_column: Column = field(None, "A column with a system message for each row. Unset: system, if there is one.")
    messages_column: Column = field(
        None, "The column with whole conversations, in OpenAI's or ShareGPT's form. Unset: messages or conversations."
    )
    text_column: Column = field(
        None,
        "A column of plain text. All of it is learned, without a chat template. Unset: text, if no column holds a "
        "question.",
    )
    learn: Literal["all_answers", "last_answer"] = field(
        "all_answers",
        "Which answers of a conversation are learned: all of them, or only the last one. Each answer is learned as the "
        "model gives it. If the chat template changes earlier answers (Qwen3 removes their reasoning), a conversation "
        "becomes several sequences, which costs time. A message with weight 0 or train = false is never learned.",
    )
    eval_fraction: Annotated[float, Field(ge=0, lt=1)] = field(
        0.05,
        "The share of rows held out for the evaluation loss, which shows whether the model learns or only "
        "memorises. 0 trains on all rows and shows nothing.",
    )
    max_eval_rows: Annotated[int, Field(ge=1)] = field(
        200,
        "Largest number of evaluation rows. Every evaluation reads all of them: it costs time, not memory.",
        unit="rows",
    )
    system_prompt: str | None = field(
        None,
        "Put before every row that has no system message. Sets a tone; adds its tokens to every row. Use the same "
        "prompt when you use the model.",
    )
    on_bad_rows: Literal["refuse", "skip"] = field(
        "refuse",
        '"refuse" lists the bad rows and does not start; "skip" trains on the other rows and says how many it skipped.',
    )
    long_rows: Literal["cut", "drop", "refuse"] = field(
        "cut",
        'What happens to rows longer than max_seq_length: "cut" learns the answers, or parts of them, up to the cut; '
        '"drop" leaves these rows out, so that the model never learns an answer without its end; "refuse" does not '
        "start the run.",
    )


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
    packing: Literal["auto", "off"] = field(
        "auto",
        "Put the rows of a step end to end instead of padding them, in passes of about max_seq_length tokens for each"
        " row of a batch. The step has the same rows and the same gradient, and short rows train several times faster."
        ' "auto" packs wherever the model keeps packed rows apart. Costs no memory beyond that of the longest pass.',
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
        "max_seq_length. No gradients are kept, but the activations must fit.",
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
