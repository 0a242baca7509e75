"""Why the losses of runs can't be compared: each reason, and none where there is no reason."""

from __future__ import annotations

from typing import Any

import pytest

from codex_tui.runs.comparability import find_reasons, name_by_letter
from codex_tui.runs.compared_settings import ComparedSettings
from training.contract.config import Fingerprint

VALUES = {
    "dataset.path": "data/guide.jsonl",
    "dataset.learn": "all_answers",
    "dataset.long_rows": "cut",
    "model.name": "unsloth/Llama-3.2-3B-Instruct",
    "model.max_seq_length": 1024,
    "model.chat_template": None,
    "training.seed": 3407,
    "training.learning_rate": 2e-4,
}
FOUND: dict[str, Any] = {"sha256": "1a" * 32, "rows": 412, "eval_rows": 40, "truncated_rows": 0, "dropped_rows": 0}


def make(*, validation: bool = False, fingerprint: dict[str, Any] | None = None, **values: Any) -> ComparedSettings:
    changes = {name.replace("__", "."): value for name, value in values.items()}
    found = Fingerprint(**(FOUND | (fingerprint or {})))
    return ComparedSettings(VALUES | changes, fingerprint=found, has_validation_split=validation)


def reasons(*runs: ComparedSettings) -> list[str]:
    return [reason.describe(name_by_letter(len(runs))) for reason in find_reasons(runs)]


@pytest.mark.parametrize(
    "other",
    [
        make(),
        make(training__learning_rate=1e-3, dataset__path="copy/of/guide.jsonl"),
        make(model__max_seq_length=2048),  # all rows are whole
        make(dataset__long_rows="drop"),
        make(model__name="unsloth/Llama-3.2-3B-Instruct-unsloth-bnb-4bit"),  # a copy has the same tokenizer
        make(model__name="meta-llama/Llama-3.2-3B-Instruct"),
    ],
)
def test_runs_on_the_same_rows_can_be_compared(other: ComparedSettings) -> None:
    assert reasons(make(), other) == []


def test_other_data_is_named_with_its_rows() -> None:
    other = make(fingerprint={"sha256": "2b" * 32, "rows": 380}, dataset__path="data/other.jsonl")
    assert reasons(make(), make(), other) == [
        "The data differ (A, B: guide.jsonl, 412 rows, sha256 1a1a1a1a; C: other.jsonl, 380 rows, sha256 2b2b2b2b). "
        "A loss on other rows measures another task."
    ]


def test_data_that_changed_under_the_same_name_are_other_data() -> None:
    [told] = reasons(make(), make(fingerprint={"sha256": "2b" * 32}))
    assert "A: guide.jsonl, 412 rows, sha256 1a1a1a1a; B: guide.jsonl, 412 rows, sha256 2b2b2b2b" in told


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (make(fingerprint={"eval_rows": 88}), "A: 40 rows, seed 3407; B: 88 rows, seed 3407"),
        (make(training__seed=1), "A: 40 rows, seed 3407; B: 40 rows, seed 1"),
        (make(fingerprint={"eval_rows": 0}), "A: 40 rows, seed 3407; B: none"),
        (make(validation=True), "B: 40 rows of the validation split, seed 3407"),
    ],
)
def test_other_held_out_rows(other: ComparedSettings, text: str) -> None:
    [told] = reasons(make(), other)
    assert told.startswith("The held-out rows differ (")
    assert text in told


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (make(dataset__learn="last_answer"), "dataset.learn differs (A: all_answers; B: last_answer)."),
        (make(model__chat_template="chatml"), "model.chat_template differs (A: unset; B: chatml)."),
        (make(fingerprint={"truncated_rows": 12}), "(A: all rows whole; B: 12 rows cut at 1024 tokens)."),
        (make(fingerprint={"dropped_rows": 3}), "(A: all rows whole; B: 3 rows left out at 1024 tokens)."),
    ],
)
def test_other_learned_tokens(other: ComparedSettings, text: str) -> None:
    [told] = reasons(make(), other)
    assert f"{text} Their losses count other tokens." in told


def test_rows_that_are_cut_at_another_length() -> None:
    cut = {"truncated_rows": 12}
    assert reasons(make(fingerprint=cut), make(fingerprint=cut)) == []
    [told] = reasons(make(fingerprint=cut), make(fingerprint=cut, model__max_seq_length=512))
    assert "A: 12 rows cut at 1024 tokens; B: 12 rows cut at 512 tokens" in told


def test_other_base_models_may_have_another_tokenizer() -> None:
    [told] = reasons(make(), make(model__name="Qwen/Qwen3-4B"))
    assert told == (
        "The base models differ (A: Llama-3.2-3B-Instruct; B: Qwen3-4B). "
        "Unless their tokenizers are the same, their losses count other tokens."
    )


def test_a_run_that_recorded_no_rows_is_not_called_different() -> None:
    [told] = reasons(make(), ComparedSettings())
    assert told == (
        "The data differ (A: guide.jsonl, 412 rows, sha256 1a1a1a1a; B: not known). "
        "Only a run that began to train has recorded its rows."
    )
    [both] = reasons(ComparedSettings(), ComparedSettings())
    assert both.startswith("The data (A, B: not known).")


def test_text_of_config_json_is_harmless() -> None:
    [told] = reasons(make(), make(model__name="x/evil\x1b[2J"))
    assert "\x1b" not in told


def test_more_runs_than_letters() -> None:
    assert name_by_letter(28)[24:] == ["Y", "Z", "A2", "B2"]
