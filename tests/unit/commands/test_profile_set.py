"""The option --set of the commands that read a profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.called_commands import call

from codex_tui.base import locations

pytestmark = pytest.mark.usefixtures("empty_home")


def test_set_takes_toml_and_bare_words(empty_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(empty_home)
    options = {
        "lora.r=8": 8,
        "training.learning_rate=1e-4": 1e-4,
        "model.dtype=float16": "float16",
        'model.name="a/b"': "a/b",
        "model.revision=2024": "2024",
        "training.gradient_checkpointing=true": True,
        'lora.target_modules=["q_proj"]': ["q_proj"],
        "dataset.system_prompt=Be brief = good": "Be brief = good",
        "dataset.path=rows.jsonl": str(empty_home / "rows.jsonl"),
        "hardware.device=cpu": "cpu",
        "dataset.system_prompt=": "",
    }
    for option, value in options.items():
        whole = json.loads(call(capsys, "profile", "show", "demo", "--json", "--set", "lora.r=3", "--set", option))
        table, _, name = option.partition("=")[0].partition(".")
        assert whole[table][name] == value
        assert option == "lora.r=8" or whole["lora"]["r"] == 3


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("lora.r", "--set lora.r: has no value"),
        ("lora=8", "--set lora: is a table; set one of its fields, such as lora.r=16.\n"),
        ("lora={r=8}", "--set lora: is a table; set one of its fields"),
        ("lora.target=8", "did you mean target_modules?\n"),
        ("model.name=\udcff", "--set model.name: should be text in UTF-8.\n"),
        ("model.revision=\udcff", "--set model.revision: should be text in UTF-8.\n"),
        ('lora.target_modules=["\udcff"]', "--set lora.target_modules: should be text in UTF-8.\n"),
        ("lora.r=", "--set lora.r: should be a whole number"),
        ("lora.r='8'", "not text in quotes (given: '8')"),
        ("lora.r=0", "at least 1, at most 1,024 (given: 0)"),
        ("lora.rank=8", "--set lora.rank: unknown field"),
        ("r=8", "--set r: unknown field; it belongs in [lora]"),
        ("lora.learning_rate=1", "it belongs in [training]"),
        ("training.optim=adamw8bit", 'did you mean "adamw_8bit"?'),
        ("extends=demo", "--set extends: belongs to the file itself"),
        ("=", "--set : unknown field"),
        ("lora.r=8\nlora_alpha=3", "should be a whole number"),
        ("training.seed=" + "9" * 5000, "should be a whole number"),
    ],
)
def test_a_wrong_set_names_the_option(option: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["profile", "check", "demo"], ["profile", "show", "demo"], ["train", "demo"], ["demo"]):
        said = call(capsys, *command, "--set", option, exit_code=2)
        assert words in said
        assert "codex-tui profile explain" in said
    assert not locations.data_home().exists()


def test_set_is_checked_with_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "profile", "check", "demo", "--set", "model.dtype=float32", exit_code=2)
    assert "model.dtype: float32 is not possible with load_in_4bit = true" in said
    assert call(capsys, "profile", "check", "demo", "--set", "lora.r=8").startswith("✓ ")
