"""Writes the card (README.md) of an adapter or of an exported model. The trainer saves it with the adapter, an export
with its files, and a push sends it to the Hub."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.contract.card_text import escape_text, format_part, format_table, make_printable, put_part
from training.contract.card_usage import CardKind, format_usage
from training.contract.config import RunConfig, get_table, list_tables
from training.contract.judgement import JudgementHead, describe_levels
from training.contract.model_path import is_path
from training.contract.secrets import redact_secrets

TAGS = ("sft", "trl", "unsloth", "codex-tui")
MAX_SYSTEM_PROMPT = 2000
_KINDS: dict[CardKind, str] = {
    "adapter": "A LoRA adapter for `{}`, trained with Codex TUI.",
    "merged": "`{}` with a LoRA adapter merged into it, trained and merged with Codex TUI.",
    "gguf": "`{}` with a LoRA adapter merged into it, as GGUF for llama.cpp. Trained and exported with Codex TUI.",
}
_LIBRARIES: dict[CardKind, str] = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}
_DATASET_LABELS = {
    "sha256": "sha256",
    "revision": "revision",
    "rows": "rows",
    "train_rows": "training rows",
    "eval_rows": "evaluation rows",
    "dropped_rows": "skipped rows",
    "truncated_rows": "rows cut at the sequence length",
}
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Results:
    """What training has achieved. The pairs are a step and the loss after it. `adapter_step` is the step of the saved
    weights if it is not the last step."""

    status: str
    step: int
    total_steps: int | None = None
    loss: tuple[int, float] | None = None
    evals: Sequence[tuple[int, float]] = ()
    adapter_step: int | None = None
    duration: str = ""
    device: str = ""
    trained_parameters: int | None = None
    judgements: Sequence[JudgementHead] = ()

    @property
    def best(self) -> tuple[int, float] | None:
        """The first evaluation with the lowest loss."""
        return min(self.evals, key=lambda pair: pair[1], default=None)


@dataclass(frozen=True)
class ExportedModel:
    """What a card says about an exported model: how it was made, its files, and a text for each proof (Markdown)."""

    kind: CardKind
    facts: Mapping[str, str]
    files: Mapping[str, str]
    proofs: Sequence[str] = ()


def find_base_model(config: RunConfig) -> tuple[str, bool]:
    """Return the name of the base model, and whether it is a repository of the Hub. A path has no folders in the name,
    because they may contain a person's name."""
    name = str(get_table(config.actual, "model").get("name") or get_table(config.profile, "model").get("name") or "")
    is_repo = bool(_HUB_ID.fullmatch(name))
    return (name if is_repo else Path(name).name or "unknown"), is_repo


def make_model_card(
    old: str,
    title: str,
    run: str,
    config: RunConfig,
    results: Results,
    *,
    place: str = ".",
    exported: ExportedModel | None = None,
) -> str:
    """Return the card `old` with the part about the model added or replaced. An empty `old` makes a new card. `place`
    is the folder or the repository of the model. Without `exported`, it is the adapter."""
    base, is_repo = find_base_model(config)
    kind: CardKind = exported.kind if exported else "adapter"
    profile = _format_profile(config.profile)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", profile)), default=0))
    sections = {
        "Use": _format_use(kind, place, config, exported),
        "How it was made": format_table(exported.facts) if exported else "",
        "Proof": "\n\n".join(exported.proofs) if exported else "",
        "Result": format_table(_list_results(results)),
        "Judged": _format_judgements(results.judgements),
        "Prompts": format_table(_list_prompt_facts(config)),
        "Dataset": format_table(_list_dataset_facts(config)),
        "Files": format_table(exported.files) if exported else "",
        "Profile": f"{fence}toml\n{profile}\n{fence}",
        "Trained with": format_table({name: version for name, version in config.stack.items() if version}),
    }
    text = "\n\n".join(f"## {heading}\n\n{section}" for heading, section in sections.items() if section)
    part = format_part(kind, {"run": run}, f"{_KINDS[kind].format(escape_text(base))}\n\n{text}")
    if not old.strip():
        old = "\n".join(("---", *_list_front(kind, base, is_repo), "---", "", f"# {escape_text(title)}", "", part, ""))
    return put_part(old, part, kind, None)


def _list_front(kind: CardKind, base: str, is_repo: bool) -> list[str]:
    """List the lines that the Hub reads."""
    front = [f"base_model: {json.dumps(base)}"] if is_repo else []
    if is_repo and kind == "gguf":
        front.append("base_model_relation: quantized")
    front += [f"library_name: {_LIBRARIES[kind]}", "pipeline_tag: text-generation", "tags:"]
    return [*front, *(f"- {tag}" for tag in ((kind,) if kind != "adapter" else ("lora",)) + TAGS)]


def _format_use(kind: CardKind, place: str, config: RunConfig, exported: ExportedModel | None) -> str:
    """Format the lines that load the model. A text of the run can't end their fence."""
    form = config.find_row_form()
    file = next((name for name in exported.files if name.endswith(".gguf")), "") if exported else ""
    lines = format_usage(kind, place, form.system_prompt, is_text=form.text, file=file)
    lines = redact_secrets(hide_home(make_printable_lines(lines)))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}{'sh' if kind == 'gguf' else 'python'}\n{lines}\n{fence}"


def _list_prompt_facts(config: RunConfig) -> dict[str, str]:
    """List how the model must be asked."""
    form = config.find_row_form()
    if form.text:
        return {"form": "plain text, which the model continues: no chat template"}
    chosen = get_table(config.profile, "model").get("chat_template")
    name = "that of the base model" if not isinstance(chosen, str) else Path(chosen).name if is_path(chosen) else chosen
    facts = {"chat template": f"{name}, in the tokenizer's files"}
    if form.system_prompt:
        facts["system message"] = redact_secrets(hide_home(form.system_prompt[:MAX_SYSTEM_PROMPT]))
    if form.max_tokens:
        facts["longest row"] = f"{form.max_tokens:,} tokens"
    return facts


def make_printable_lines(text: str) -> str:
    return "\n".join(map(make_printable, text.split("\n")))


def hide_home(text: str) -> str:
    """Replace the home folder in `text` by ~, because it may contain the person's name."""
    home = os.path.expanduser("~")  # noqa: PTH111  pathlib raises for a user without a home
    return re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text


def _list_results(results: Results) -> dict[str, str]:
    total = f" of {results.total_steps:,}" if results.total_steps else ""
    facts = {"state": results.status, "steps": f"{results.step:,}{total}"}
    if results.loss:
        facts["last training loss"] = _format_loss(results.loss)
    if results.best:
        facts["last evaluation loss"] = _format_loss(results.evals[-1])
        facts["best evaluation loss"] = _format_loss(results.best)
    if results.adapter_step:
        facts["weights of step"] = f"{results.adapter_step:,}"
    if results.duration:
        facts["time"] = results.duration
    if results.device:
        facts["device"] = results.device
    if results.trained_parameters:
        facts["trained parameters"] = f"{results.trained_parameters:,}"
    return facts


def _format_judgements(judgements: Sequence[JudgementHead]) -> str:
    """Format what the adapter was worth: one line for each book, and the sentences of the newest judgement."""
    if not judgements:
        return ""
    lines = {f"{Path(one.book.name).name}, against {one.against.name}": describe_levels(one.overall)
             for one in judgements}  # fmt: skip
    sentences = "\n".join(f"- {escape_text(sentence)}" for sentence in judgements[0].conclusions)
    return f"{format_table(lines)}\n\n{sentences}"


def _format_loss(pair: tuple[int, float]) -> str:
    return f"{pair[1]:.4f} (step {pair[0]:,})"


def _list_dataset_facts(config: RunConfig) -> dict[str, str]:
    """List the dataset's name and numbers. The name has no folders, because they may contain a person's name."""
    name = config.dataset
    facts = {"name": name if config.hub or name.startswith("demo:") else Path(name).name}
    for key, label in _DATASET_LABELS.items():
        if (value := getattr(config.dataset_fingerprint, key, None)) is not None:
            facts[label] = f"{value:,}" if isinstance(value, int) else str(value)
    return facts


def _format_profile(profile: dict[str, Any]) -> str:
    """Format the profile as TOML, without values that are not set, and with file names instead of paths."""
    lines = _format_values(profile)
    for name, table in list_tables(profile):
        if values := _format_values(table):
            lines += ["", f"[{name}]", *values]
    return make_printable_lines(redact_secrets(hide_home("\n".join(lines).strip())))


def _format_values(table: dict[str, Any]) -> list[str]:
    """Format each value as JSON. A text, a number, true or false, and a list of these look the same in TOML."""
    lines = []
    for key, value in table.items():
        if value is not None and not isinstance(value, dict):
            name = Path(value).name if isinstance(value, str) and is_path(value) else value
            lines.append(f"{key} = {json.dumps(name, ensure_ascii=False)}")
    return lines
