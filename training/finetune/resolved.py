"""Records the settings that really run. They may differ from the profile, because Unsloth and TRL change some."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from training.contract import events as ev
from training.contract.config import Fingerprint, RowForm, RunConfig
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.rows import Rows
from training.dataset.source import sha256
from training.dataset.split import Steps
from training.job.examples import Examples
from training.job.job import Job

if TYPE_CHECKING:
    from peft import PeftModel

    from training.finetune.trainer import Trainer

STACK = ("torch", "unsloth", "unsloth_zoo", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets")

# Values that mean "let the trainer decide". The trainer's choice is then not reported as a change.
TRAINER_DECIDES = (None, "auto")

MAX_SKIPPED_LISTED = 1000  # bad rows in config.json, with line and reason

AUTO_LAYERS = "as many as the GPU's limit requires"
CHANGE_REASONS = {
    "training.optim": "8-bit and unfused optimizers have no CPU kernels",
    "training.gradient_checkpointing": "offloading activations needs a GPU; plain checkpointing is used",
    "training.packing": "Unsloth can't keep packed rows of this model apart",
    "training.per_device_train_batch_size": "larger passes are faster and fit",
    "training.gradient_accumulation_steps": "a step keeps its rows",
    "model.offload_layers": "there is no GPU to offload from",
    "model.offload_embedding": "there is no GPU to offload from",
    "model.load_in_4bit": "bitsandbytes can't quantise this model here",
    "model.dtype": "the device has no fast arithmetic in this type",
    "model.max_seq_length": "the model supports no longer sequences",
    "hardware.vram_limit_mib": "there is no GPU",
}


def record(
    job: Job,
    run: RunDirectory,
    profile: Profile,
    trainer: Trainer,
    examples: Examples,
    rows: Rows,
    row_form: RowForm,
    steps: Steps,
    *,
    asks_book: bool,
) -> tuple[RunConfig, ev.Resolved]:
    """Add the settings that really run to the run's config.json, of several ranks on rank 0. Returns the new config,
    and its event.

    `profile` is the one that runs, with values in place of "auto", and `asks_book` is whether the run has a pass rate.
    """
    asked = job.profile.model_dump(mode="json")
    actual = _actual_tables(asked, profile, trainer)
    parameters = list(trainer.model.parameters())
    config = msgspec.structs.replace(
        job.config,
        stack={package: _version(package) for package in STACK},
        actual=actual,
        dataset_fingerprint=Fingerprint(
            sha256=sha256(job.source),
            revision=job.source.hub.revision if job.source.hub else None,
            rows=len(rows.rows) + len(rows.problems),
            train_rows=examples.train_rows,
            eval_rows=examples.eval_rows,
            dropped_rows=examples.dropped + len(rows.problems),
            truncated_rows=examples.truncated,
            skipped=[str(problem) for problem in rows.problems[:MAX_SKIPPED_LISTED]]
            + list(examples.refused.values())[:MAX_SKIPPED_LISTED],
            other_kinds_refused=rows.other_kinds_refused,
        ),
        row_form=row_form,
    )
    if trainer.ranks.is_main:
        config.write(run.config)
    return config, ev.Resolved(
        total_steps=steps.total,
        steps_per_epoch=steps.per_epoch,
        train_rows=examples.train_rows,
        eval_rows=examples.eval_rows,
        train_sequences=len(examples.train),
        dropped_rows=examples.dropped + len(rows.problems),
        truncated_rows=examples.truncated,
        longest_row=examples.longest,
        eval_steps=int(trainer.args.eval_steps) if examples.eval else 0,
        save_steps=int(trainer.args.save_steps),
        book_steps=int(trainer.args.eval_steps) if asks_book else 0,
        train_tokens=sum(len(example["input_ids"]) for example in examples.train),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        total_parameters=_count_parameters(trainer.model),
        device=actual["hardware"]["device"],
        changed=_changes(asked, actual),
    )


def _actual_tables(asked: dict[str, Any], profile: Profile, trainer: Trainer) -> dict[str, Any]:
    """Return the profile's tables with the values that really run."""
    args, model = trainer.args, trainer.model
    on_gpu = torch.cuda.is_available()
    lora = model.peft_config["default"]
    actual = {name: dict(table) if isinstance(table, dict) else table for name, table in asked.items()}
    device = f"cuda:0 ({torch.cuda.get_device_name(0)})" if on_gpu else "cpu"
    actual["hardware"]["device"] = device if trainer.ranks.count == 1 else f"{trainer.ranks.count} x {device}"
    actual["model"].update(
        load_in_4bit=getattr(model.config, "quantization_config", None) is not None,
        dtype="bfloat16" if args.bf16 else "float16" if args.fp16 else "float32",
        max_seq_length=int(getattr(model, "max_seq_length", args.max_length)),
    )
    if not asked["model"]["name"].startswith("demo:"):
        actual["model"]["name"] = model.config._name_or_path  # Unsloth may load a 4-bit copy from the Hub instead
    if not on_gpu:
        actual["hardware"]["vram_limit_mib"] = None
        actual["model"] |= {"offload_layers": 0, "offload_embedding": False}
    else:
        actual["model"]["offload_layers"] = profile.model.offload_layers
    actual["lora"].update(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        bias=lora.bias,
        target_modules=_in_asked_order(lora.target_modules, asked["lora"]["target_modules"]),
        modules_to_save=_in_asked_order(lora.modules_to_save or [], asked["lora"]["modules_to_save"]),
        use_rslora=lora.use_rslora,
    )
    used = {name: getattr(args, name) for name in actual["training"] if hasattr(args, name)}
    used["max_steps"] = used["max_steps"] if used["max_steps"] > 0 else None
    used["packing"] = profile.training.packing if trainer.pass_tokens else "off"
    if trainer.pass_tokens:  # the arguments count all rows of a step as one batch, which runs in passes
        used["per_device_train_batch_size"] = profile.training.per_device_train_batch_size
    if trainer.pass_tokens or trainer.ranks.count > 1:  # each rank has its share of the batches
        used["gradient_accumulation_steps"] = profile.training.gradient_accumulation_steps
    actual["training"].update({name: getattr(value, "value", value) for name, value in used.items()})
    actual["training"]["gradient_checkpointing"] = _actual_checkpointing(asked, args, on_gpu)
    actual["evaluation"]["eval_steps"] = int(args.eval_steps)
    if not trainer.pass_tokens:
        actual["evaluation"]["per_device_eval_batch_size"] = args.per_device_eval_batch_size
    actual["checkpoints"].update(save_steps=int(args.save_steps), save_total_limit=args.save_total_limit)
    return actual


def _actual_checkpointing(asked: dict[str, Any], args: Any, on_gpu: bool) -> Any:
    wanted = asked["training"]["gradient_checkpointing"]
    return wanted if on_gpu and args.gradient_checkpointing else bool(args.gradient_checkpointing)


def _in_asked_order(actual: Any, asked: list[str]) -> Any:
    """Return module names in the profile's order, because peft keeps them as a set. Unsloth may use one pattern instead
    of names; it is returned unchanged."""
    if isinstance(actual, str):
        return actual
    return asked if set(actual) == set(asked) else sorted(actual)


def _changes(asked: dict[str, Any], actual: dict[str, Any]) -> dict[str, tuple[Any, Any, str]]:
    """Map `table.field` to (value asked for, value that runs, reason) for each setting that was changed."""
    changes: dict[str, tuple[Any, Any, str]] = {}
    for table, fields in asked.items():
        if not isinstance(fields, dict):
            continue
        for name, wanted in fields.items():
            used = actual[table][name]
            if table == "hardware" and name == "device":
                continue  # the process sees only the device that was asked for
            if used != wanted and (wanted not in TRAINER_DECIDES or (name == "offload_layers" and used)):
                reason = CHANGE_REASONS.get(f"{table}.{name}", "chosen by Unsloth or TRL")
                changes[f"{table}.{name}"] = (wanted, used, AUTO_LAYERS if wanted == "auto" else reason)
    return changes


def _count_parameters(model: PeftModel) -> int:
    """Count the parameters of the model with its adapter. A packed 4-bit tensor counts with its unpacked size."""
    count = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        count += state.shape.numel() if state is not None else parameter.numel()
    return count


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
