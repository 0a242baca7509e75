"""Writes a whole profile as text. The comment above each field says what the field costs and gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_tui.base.toml import format_literal
from codex_tui.profiles.schema import FieldSchema, read_schema, read_tables

# The values of the examples in `profile explain`, and of the commented lines for fields that are not set.
EXAMPLES: dict[str, Any] = {
    "extends": "rtx3050-4gb",
    "title": "My strategy guide",
    "description": "Short answers in the guide's own words, on the 4 GB card.",
    "hardware.vram_limit_mib": 3300,
    "hardware.pause_above_celsius": 85,
    "hardware.pinned_limit_mib": 1024,
    "model.name": "unsloth/Llama-3.2-3B-Instruct-bnb-4bit",
    "model.revision": "main",
    "model.chat_template": "chatml",
    "dataset.path": "my_rows.jsonl",
    "dataset.revision": "main",
    "dataset.config": "default",
    "dataset.split": "train",
    "dataset.eval_path": "my_eval_rows.jsonl",
    "dataset.instruction_column": "question",
    "dataset.response_column": "answer",
    "dataset.context_column": "stage",
    "dataset.system_column": "system",
    "dataset.messages_column": "messages",
    "dataset.text_column": "text",
    "dataset.system_prompt": "You are a helpful assistant.",
    "training.max_steps": 60,
    "training.max_hours": 8.0,
    "evaluation.eval_steps": 50,
    "evaluation.patience": 3,
    "evaluation.sample_prompt": "What should I do first?",
    "evaluation.book": "my_questions.jsonl",
    "checkpoints.save_steps": 100,
    "launch.name": "first-try",
    "launch.processes": 1,
    "launch.slurm.partition": "gpu",
    "launch.slurm.gres": "gpu:1",
    "launch.slurm.cpus": 4,
    "launch.slurm.memory": "32G",
    "launch.slurm.account": "lab",
    "launch.slurm.qos": "normal",
    "launch.ssh.remote": "box",
    "keeper.park_above_others_mib": 1500,
    "keeper.park_above_celsius": 87,
    "keeper.hours": "23:00-07:00",
    "tracking.to": ["tensorboard"],
    "tracking.project": "zombie-waves",
}


def format_example(schema: FieldSchema) -> str:
    """Format the field as a line of TOML, with its example, or else with its default."""
    return f"{schema.name} = {format_literal(EXAMPLES.get(schema.path, schema.default))}"


def format_with_comments(values: Mapping[str, Any], note: str = "") -> str:
    """Format `values` (by dotted path, as in `Resolved`) as a whole profile, with `note` as a comment at its top.

    A field that is not set becomes a commented example. `extends` is left out: the values are complete already, and
    the parent may set a field that is not set here.
    """
    lines = [f"{name} = {format_literal(values[name])}" for name in ("title", "description") if values.get(name)]
    lines += [""] * bool(lines and note) + [f"# {line}".rstrip() for line in note.splitlines()]
    for table in read_tables():
        lines += [""] * bool(lines) + [f"[{table}]"]
        for schema in read_schema().values():
            if schema.table == table:
                value = values.get(schema.path)
                lines += schema.comment
                lines.append(
                    f"# {format_example(schema)}" if value is None else f"{schema.name} = {format_literal(value)}"
                )
    return "\n".join(lines) + "\n"
