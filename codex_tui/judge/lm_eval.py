"""Writes the questions of a book as a task for EleutherAI's lm-evaluation-harness: a YAML file and a JSONL file.

The harness knows no `must`: it compares an answer with the reference (exactly, and by chrF). A question without a
reference, and a conversation of several turns, can't be asked there.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from codex_tui.base.errors import BadInput
from codex_tui.base.text import pluralize
from codex_tui.judge.plan import JudgePlan
from training.contract import checkpoints, files
from training.contract.judgement import Question
from training.contract.run_directory import ADAPTER_CONFIG

DEMO_MODEL = "demo:llama"


def export_task(plan: JudgePlan, questions: Sequence[Question], folder: Path) -> list[str]:
    """Write the task to `folder`, and return lines for a person. Raises BadInput, OSError."""
    rows = [
        {"id": question.id, "question": question.text, "reference": question.reference, "tags": list(question.tags)}
        for question in questions
        if question.reference and [turn["role"] for turn in question.messages] == ["user"]
    ]
    if not rows:
        raise BadInput("No question has a reference, and lm-evaluation-harness compares answers with references.")
    task = "codex_tui_" + re.sub(r"[^A-Za-z0-9]+", "_", plan.name).strip("_").lower()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data, config = folder.absolute() / f"{task}.jsonl", folder.absolute() / f"{task}.yaml"
    files.write_atomically(data, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    files.write_atomically(config, _format_config(plan, task, data))
    left_out = len(questions) - len(rows)
    lines = [f"{config} asks {pluralize(len(rows), 'question')}."]
    if left_out:
        without = "has no reference or has" if left_out == 1 else "have no reference or have"
        lines.append(f"{pluralize(left_out, 'question')} {without} several turns, and can't be asked there.")
    adapter = checkpoints.find_chat_adapter(plan.run) or plan.run.adapter
    base = _find_loaded_base(plan, adapter)
    command = [
        "lm_eval", "--model", "hf", "--tasks", task, "--include_path", str(folder.absolute()), "--model_args",
        f"pretrained={base},peft={adapter},tokenizer={adapter}",
        *([] if plan.adapter.form.text else ["--apply_chat_template"]), "--log_samples", "--output_path", "lm-eval-out",
    ]  # fmt: skip
    return [*lines, f"Run it where lm_eval is installed: {shlex.join(command)}"]


def _find_loaded_base(plan: JudgePlan, adapter: Path) -> str:
    """Find the folder or Hub id of the base model. A comma would begin another argument of the harness."""
    name = plan.adapter.base_name
    if name == DEMO_MODEL:  # it was built in the cache
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            config = json.loads(files.read(adapter / ADAPTER_CONFIG))
            name = str(config.get("base_model_name_or_path", name))
    return "BASE_MODEL" if "," in name else name


def _format_config(plan: JudgePlan, task: str, data: Path) -> str:
    """JSON is YAML, so each text is written as JSON."""
    form = plan.adapter.form
    until = [] if form.text else ["<no text ends an answer>"]
    values = {
        "task": task,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        # With a chat template, the description is the system message.
        "description": "" if form.text else form.system_prompt or "",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{reference}}",
        "target_delimiter": "",  # the default puts a space before the answer
        "generation_kwargs": {"until": until, "max_gen_toks": plan.max_new_tokens, "do_sample": False},
        "metric_list": [
            {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True},
            {"metric": "chrf", "aggregation": "chrf", "higher_is_better": True},
        ],
        "metadata": {"version": 1.0},
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    return "\n".join(["# Written by codex-tui judge --export-lm-eval", *lines]) + "\n"
