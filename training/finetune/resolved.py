"""What really runs, as against what the profile asked for: Unsloth and TRL may change a setting."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import torch

from training.contract import events as ev
from training.contract.config import Fingerprint
from training.contract.run_directory import RunDirectory
from training.dataset.rows import Rows
from training.dataset.source import sha256
from training.dataset.split import Steps
from training.job.job import Job
from training.job.tokens import Examples

STACK = ("torch", "unsloth", "unsloth_zoo", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets")

# Asked for in these words, a setting is left to the trainer: what it chose is no change.
LEFT_OPEN = (None, "auto")

SKIPPED_TOLD = 1000  # bad rows, with line and reason

CHOSEN = "as many as the card's limit asks for"
REASONS = {
    "training.optim": "8-bit and unfused optimizers have no CPU kernels",
    "training.gradient_checkpointing": "offloading activations needs a GPU; plain checkpointing runs",
    "model.offload_layers": "there is no GPU to offload from",
    "model.offload_embedding": "there is no GPU to offload from",
    "model.load_in_4bit": "bitsandbytes can't quantise this model here",
    "model.dtype": "the device has no fast arithmetic in the asked one",
    "model.max_seq_length": "the model has no more positions",
    "hardware.vram_limit_mib": "there is no GPU",
}


def write(
    job: Job,
    run: RunDirectory,
    trainer: Any,
    examples: Examples,
    rows: Rows,
    steps: Steps,
    offloaded: int | str,
) -> ev.Resolved:
    """Adds what really runs to the run's config.json, and returns the event that tells of it.

    `offloaded` is the number of layers kept in host memory.
    """
    asked = job.profile.model_dump(mode="json")
    actual = _actual(asked, trainer)
    if torch.cuda.is_available():
        actual["model"]["offload_layers"] = offloaded
    parameters = list(trainer.model.parameters())
    config = msgspec.structs.replace(
        job.config,
        stack={package: _version(package) for package in STACK},
        actual=actual,
        dataset_fingerprint=Fingerprint(
            sha256=sha256(job.source),
            revision=job.source.hub.revision if job.source.hub else None,
            rows=len(rows.rows) + len(rows.problems),
            train_rows=len(examples.train),
            eval_rows=len(examples.eval),
            dropped_rows=examples.dropped + len(rows.problems),
            truncated_rows=examples.truncated,
            skipped=[str(problem) for problem in rows.problems[:SKIPPED_TOLD]] + examples.refused[:SKIPPED_TOLD],
        ),
    )
    config.write(run.config)
    return ev.Resolved(
        total_steps=steps.total,
        steps_per_epoch=steps.per_epoch,
        train_rows=len(examples.train),
        eval_rows=len(examples.eval),
        dropped_rows=examples.dropped + len(rows.problems),
        truncated_rows=examples.truncated,
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        total_parameters=_weights(trainer.model),
        device=actual["hardware"]["device"],
        changed=_changes(asked, actual),
    )


def _actual(asked: dict[str, Any], trainer: Any) -> dict[str, Any]:
    """The profile's tables with what ran in them."""
    args, model = trainer.args, trainer.model
    on_gpu = torch.cuda.is_available()
    lora = model.peft_config["default"]
    actual = {name: dict(table) if isinstance(table, dict) else table for name, table in asked.items()}
    actual["hardware"]["device"] = f"cuda:0 ({torch.cuda.get_device_name(0)})" if on_gpu else "cpu"
    actual["model"].update(
        load_in_4bit=getattr(model.config, "quantization_config", None) is not None,
        dtype="bfloat16" if args.bf16 else "float16" if args.fp16 else "float32",
        max_seq_length=int(getattr(model, "max_seq_length", args.max_length)),
    )
    if not asked["model"]["name"].startswith("demo:"):
        actual["model"]["name"] = model.config._name_or_path  # Unsloth may have taken a 4-bit copy from the Hub
    if not on_gpu:
        actual["hardware"]["vram_limit_mib"] = None
        actual["model"] |= {"offload_layers": 0, "offload_embedding": False}
    actual["lora"].update(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        bias=lora.bias,
        target_modules=_same_order(lora.target_modules, asked["lora"]["target_modules"]),
        modules_to_save=_same_order(lora.modules_to_save or [], asked["lora"]["modules_to_save"]),
        use_rslora=lora.use_rslora,
    )
    ran = {name: getattr(args, name) for name in actual["training"] if hasattr(args, name)}
    ran["max_steps"] = ran["max_steps"] if ran["max_steps"] > 0 else None
    actual["training"].update({name: getattr(value, "value", value) for name, value in ran.items()})
    actual["training"]["gradient_checkpointing"] = _checkpointing(asked, args, on_gpu)
    actual["evaluation"].update(
        eval_steps=int(args.eval_steps), per_device_eval_batch_size=args.per_device_eval_batch_size
    )
    actual["checkpoints"].update(save_steps=int(args.save_steps), save_total_limit=args.save_total_limit)
    return actual


def _checkpointing(asked: dict[str, Any], args: Any, on_gpu: bool) -> Any:
    wanted = asked["training"]["gradient_checkpointing"]
    return wanted if on_gpu and args.gradient_checkpointing else bool(args.gradient_checkpointing)


def _same_order(ran: Any, asked: list[str]) -> Any:
    """peft keeps names as a set; Unsloth may put a pattern in their place, which stays as it is."""
    if isinstance(ran, str):
        return ran
    return asked if set(ran) == set(asked) else sorted(ran)


def _changes(asked: dict[str, Any], actual: dict[str, Any]) -> dict[str, tuple[Any, Any, str]]:
    """`table.field` to (asked, ran, why) for each setting that was not followed."""
    changes: dict[str, tuple[Any, Any, str]] = {}
    for table, fields in asked.items():
        if not isinstance(fields, dict):
            continue
        for name, wanted in fields.items():
            ran = actual[table][name]
            if table == "hardware" and name == "device":
                continue  # a number or "cpu" is what the process was shown
            if ran != wanted and (wanted not in LEFT_OPEN or (name == "offload_layers" and ran)):
                why = REASONS.get(f"{table}.{name}", "Unsloth or TRL chose so")
                changes[f"{table}.{name}"] = (wanted, ran, CHOSEN if wanted == "auto" else why)
    return changes


def _weights(model: Any) -> int:
    """Parameters of the model with its adapter; a packed 4-bit weight counts for what it stands for."""
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
