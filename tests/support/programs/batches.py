"""The batches that the trainer's model sees, beside those of TRL's own way and those of the sample viewer."""

from __future__ import annotations

# isort: off
from unsloth import FastLanguageModel  # first: it patches the libraries below

from datasets import Dataset
from trl import SFTConfig, SFTTrainer
# isort: on

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.rows import read
from training.dataset.shapes import Columns
from training.dataset.source import local
from training.dataset.split import choose_eval_rows, count_steps
from training.finetune import sft
from training.job.examples import tokenise
from training.job.job import read_job
from training.job.model import resolve_source

PACKED = ("input_ids", "labels", "position_ids")
LENGTH = 40  # it cuts some answers in part, and some wholly


def compare_with_trl(path: str) -> dict[str, Any]:
    """Our batches of the rows at `path` beside those that TRL makes of the same conversations."""
    rows = read(local(path)).rows
    folder = resolve_source("demo:llama", Path("cache"))
    model, tokenizer = FastLanguageModel.from_pretrained(folder, max_seq_length=LENGTH, load_in_4bit=False)
    model = FastLanguageModel.get_peft_model(model, r=2)

    def batches(dataset: list[dict[str, Any]], **settings: Any) -> tuple[int, list[dict[str, Any]]]:
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(dataset),
            args=SFTConfig(
                output_dir="compare",
                max_length=LENGTH,
                per_device_train_batch_size=4,
                seed=5,
                report_to="none",
                **settings,
            ),
        )
        return len(trainer.train_dataset), [
            {name: tensor.tolist() for name, tensor in batch.items()} for batch in trainer.get_train_dataloader()
        ]

    profile = Profile.model_validate(
        {"model": {"name": "demo:llama", "max_seq_length": LENGTH}, "dataset": {"learn": "last_answer"}}
    )
    examples = tokenise(rows, tokenizer, profile, eval_rows=set(), progress=lambda done, detail: None)
    our_count, ours = batches(examples.train, dataset_kwargs={"skip_prepare_dataset": True})
    their_count, theirs = batches([{"prompt": row.messages[:-1], "completion": row.messages[-1:]} for row in rows])
    keys = ["input_ids", "labels", "attention_mask"]
    return {
        "ours": our_count,
        "theirs": their_count,
        "rows": len(rows),
        "same": all(a[key] == b[key] for a, b in zip(ours, theirs, strict=True) for key in keys),
        "batches": len(ours),
        "masked": sum(label == -100 for batch in ours for row in batch["labels"] for label in row),
        "dropped": examples.dropped,
        "truncated": examples.truncated,
    }


def of_run(path: str) -> dict[str, Any]:
    """The rows in the batches of the run at `path`, each as [token ids, labels], without padding."""
    job = read_job(Path(path))
    profile = job.profile
    model, tokenizer = sft.load_model(profile, resolve_source(profile.model.name, job.cache), job.config.chat_template)
    adapted = sft.add_adapter(model, profile)
    rows = read(job.source, Columns.from_dataset(profile.dataset)).rows
    examples = tokenise(
        rows,
        tokenizer,
        profile,
        eval_rows=choose_eval_rows(len(rows), profile),
        progress=lambda done, detail: None,
    )
    steps = count_steps(profile, len(examples.train))
    trainer = sft.build_trainer(profile, RunDirectory(Path("batches")), adapted, tokenizer, examples, steps, print)
    return {
        "train": _rows_in(trainer.get_train_dataloader()),
        "eval": _rows_in(trainer.get_eval_dataloader()),
        "dropped": examples.dropped,
        "steps": steps,
    }


def _rows_in(loader: Iterable[dict[str, Any]]) -> list[Any]:
    """The rows of packed batches: position ids begin again at 0 with each row."""
    rows: list[Any] = []
    for batch in loader:
        for token, label, position in zip(*(batch[key][0].tolist() for key in PACKED), strict=True):
            if position == 0:
                rows.append([[], []])
            rows[-1][0].append(token)
            rows[-1][1].append(label)
    return rows
