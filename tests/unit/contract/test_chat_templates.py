"""Which values model.chat_template may have, and what a person is told of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_tui.profiles.problems import ProfileError
from codex_tui.profiles.resolve import load_profile, make_paths_absolute
from training.contract.model_path import resolve_model_paths


def problem_of(folder: Path, choice: str) -> str:
    path = folder / "p.toml"
    path.write_text(f'[model]\nname = "demo:llama"\nchat_template = "{choice}"\n')
    try:
        load_profile(path)
    except ProfileError as error:
        [problem] = error.problems
        assert (problem.field, problem.line) == ("model.chat_template", 3)
        return problem.message
    return ""


@pytest.mark.parametrize("choice", ["chatml", "llama-3", "qwen3", "./mine.jinja", "/there/mine.jinja", "~/mine"])
def test_a_name_of_unsloth_or_a_path_is_valid(tmp_path: Path, choice: str) -> None:
    assert problem_of(tmp_path, choice) == ""


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("chatlm", 'did you mean "chatml"?'),
        ("mine.jinja", '"./mine.jinja"'),
        ("something", "chatml, llama-3, llama-3.1, qwen-2.5, qwen-3, gemma-3, phi-4"),
    ],
)
def test_another_value_is_explained(tmp_path: Path, choice: str, said: str) -> None:
    assert said in problem_of(tmp_path, choice)


def test_a_relative_file_belongs_to_the_folder_of_the_profile(tmp_path: Path) -> None:
    model = {"name": "demo:llama", "chat_template": "./mine.jinja"}
    mine = str((tmp_path / "mine.jinja").resolve())
    assert resolve_model_paths(model, tmp_path) == {"name": "demo:llama", "chat_template": mine}
    assert resolve_model_paths({"name": "a/b", "chat_template": "chatml"})["chat_template"] == "chatml"
    assert make_paths_absolute({"model.chat_template": "./mine.jinja"}, tmp_path)["model.chat_template"] == mine
