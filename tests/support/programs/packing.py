"""Loss and gradients of packed rows, beside those of the same rows in padded batches and one by one."""

from __future__ import annotations

# isort: off
from training.finetune import sft  # first: Unsloth patches the libraries below

import torch
# isort: on

from pathlib import Path
from typing import Any

from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.passes import group_rows
from training.dataset.rows import read
from training.dataset.source import local
from training.dataset.split import count_steps
from training.job.examples import Examples, tokenise
from training.job.model import resolve_source
from training.job.tokens import IGNORED

LENGTH = 64


def make_profile(packing: str, dtype: str = "float32") -> Profile:
    return Profile.model_validate(
        {
            "model": {"name": "demo:llama", "max_seq_length": LENGTH, "load_in_4bit": False, "dtype": dtype},
            "training": {
                "per_device_train_batch_size": 3,
                "gradient_accumulation_steps": 4,
                "packing": packing,
                "gradient_checkpointing": False,
            },
            "dataset": {"eval_fraction": 0.0},
            "evaluation": {"per_device_eval_batch_size": 3},
        }
    )


def compare(dtype: str = "float32") -> dict[str, Any]:
    """Figures of one step on the demo's dataset with packing and without, from the same model and the same rows."""
    profile = make_profile("auto", dtype)
    source = resolve_source("demo:llama", Path("cache"))
    model, tokenizer = sft.load_model(profile, source)
    model = sft.add_adapter(model, profile)
    torch.manual_seed(1)
    with torch.no_grad():  # an adapter begins at zero, where half of its gradients are zero, too
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    rows = read(local("demo:zombie-waves")).rows[:40]
    examples = tokenise(rows, tokenizer, profile, eval_rows=set(), progress=lambda done, detail: None)
    examples.eval = sorted(examples.train, key=lambda row: len(row["input_ids"]))[:30]

    def build(packing: str) -> Any:
        asked = make_profile(packing, dtype)
        steps = count_steps(asked, len(examples.train))
        return sft.build_trainer(asked, RunDirectory(Path("packing")), model, tokenizer, examples, steps, print)

    packed, padded = build("auto"), build("off")
    passes: list[int] = []
    forward = model.forward

    def count_tokens(*arguments: Any, **inputs: Any) -> Any:
        passes.append(inputs["input_ids"].numel())
        return forward(*arguments, **inputs)

    whole = next(iter(packed.get_train_dataloader()))
    learned = (whole["labels"] != IGNORED).sum()
    batches = [batch for _, batch in zip(range(4), padded.get_train_dataloader(), strict=False)]
    model.forward = count_tokens
    figures: dict[str, Any] = {
        "packed": step(packed, [dict(whole)], learned),
        "passes": list(passes),
        "padded": step(padded, [dict(batch) for batch in batches], learned),
        "alone": step(padded, [row for batch in batches for row in split(batch)], learned),
    }
    passes.clear()
    eval_loss = [trainer.evaluate()["eval_loss"] for trainer in (packed, padded)]
    eval_lengths = [len(row["input_ids"]) for row in examples.eval]
    model.forward = forward
    with torch.no_grad():  # with a cache, transformers drops the mask between rows: the silent failure
        crossed = model(
            input_ids=whole["input_ids"], position_ids=whole["position_ids"], labels=whole["labels"], use_cache=True
        )
    lengths = [int(row["attention_mask"].sum()) for batch in batches for row in split(batch)]
    flat = [x for batch in batches for row in split(batch) for x in row["input_ids"][0].tolist()]
    return {
        "loss": {name: figures[name][0] for name in ("packed", "padded", "alone")},
        "difference": {
            name: max((a - b).abs().max().item() for a, b in zip(figures["packed"][1], figures[name][1], strict=True))
            for name in ("padded", "alone")
        },
        "largest_gradient": max(gradient.abs().max().item() for gradient in figures["alone"][1]),
        "passes": figures["passes"],
        "fewest_passes": len(group_rows(lengths, 3 * LENGTH)),
        "same_rows": sorted(flat) == sorted(whole["input_ids"][0].tolist()),
        "crossed_loss": crossed.loss.item(),
        "eval_loss": eval_loss,
        "eval_passes": len(passes) - len(examples.eval) // 3,  # those of the padded evaluation
        "fewest_eval_passes": len(group_rows(eval_lengths, 3 * LENGTH)),
        "steps": [packed.get_train_dataloader().__len__(), -(-len(padded.get_train_dataloader()) // 4)],
    }


def step(trainer: Any, batches: list[dict[str, Any]], learned: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
    """The loss of one optimizer step, and the gradients that it leaves."""
    trainer.model.zero_grad(set_to_none=True)
    trainer.current_gradient_accumulation_steps = len(batches)
    losses = [trainer.training_step(trainer.model, batch, num_items_in_batch=learned) for batch in batches]
    gradients = [p.grad.clone() for p in trainer.model.parameters() if p.requires_grad]
    return torch.stack(losses).sum().item(), gradients


def split(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a padded batch, each as a batch of its own without padding."""
    rows = []
    for position, mask in enumerate(batch["attention_mask"]):
        length = int(mask.sum())
        rows.append({name: batch[name][position : position + 1, :length] for name in batch})
    return rows


def blocked() -> dict[str, Any]:
    """What happens with a model that Unsloth does not pack, whose ranks share it."""
    profile = make_profile("auto").with_value("launch.strategy", "fsdp")
    model, tokenizer = sft.load_model(profile, resolve_source("demo:llama", Path("cache")))
    model = sft.add_adapter(model, profile)
    model.config.model_type = "gemma2"
    examples = Examples(train=[{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 24)
    warnings: list[str] = []
    trainer = sft.build_trainer(
        profile, RunDirectory(Path("blocked")), model, tokenizer, examples, count_steps(profile, 24), warnings.append
    )
    return {
        "warnings": warnings,
        "is_sharded": trainer.is_sharded,
        "batch_size": trainer.args.per_device_train_batch_size,
        "accumulation_steps": trainer.args.gradient_accumulation_steps,
        "pass_tokens": trainer.pass_tokens,
        "keys": sorted(next(iter(trainer.get_train_dataloader()))),
    }
