"""The configurations and splits that a dataset repository lists in its README.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from codex_tui.base.errors import BadInput
from codex_tui.hub.configurations import select_configuration

TWO = """configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*.jsonl
  - split: test
    path: [main/test.jsonl, ../../outside.jsonl]
- config_name: socratic
  data_dir: socratic
  data_files: "*.jsonl"
"""


def select(folder: Path, yaml: str, config: str | None = None) -> dict[str, str | None] | None:
    files = []
    for name in ("main/train-0.jsonl", "main/test.jsonl", "socratic/rows.jsonl"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        files.append(path)
    (folder / "README.md").write_text(f"---\n{yaml}---\n# Guide\n")
    listed = select_configuration("ann/guide", folder, files, config)
    return listed and {str(path.relative_to(folder)): split for path, split in listed.items()}


def test_the_named_configuration_is_taken(tmp_path: Path) -> None:
    assert select(tmp_path, TWO, "main") == {"main/train-0.jsonl": "train", "main/test.jsonl": "test"}
    assert select(tmp_path, TWO, "socratic") == {"socratic/rows.jsonl": "train"}


def test_the_default_is_taken(tmp_path: Path) -> None:
    default = TWO.replace("- config_name: socratic", "- config_name: socratic\n  default: true")
    assert select(tmp_path, default) == {"socratic/rows.jsonl": "train"}
    assert select(tmp_path, TWO.replace("main\n", "default\n", 1)) is not None
    one = "configs:\n- config_name: guide\n  data_files:\n    train: main/*.jsonl\n"
    assert select(tmp_path, one) == {"main/train-0.jsonl": "train", "main/test.jsonl": "train"}


def test_without_a_default_the_profile_must_choose(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="ann/guide has 2 configurations: main, socratic") as told:
        select(tmp_path, TWO)
    assert "dataset.config" in told.value.hint
    with pytest.raises(BadInput, match=r"has no configuration nosuch\. It has main, socratic"):
        select(tmp_path, TWO, "nosuch")


@pytest.mark.parametrize("yaml", ["", "license: mit\n", "configs: 7\n", "configs: [1, {}]\n", "configs: [\n"])
def test_a_repository_that_lists_none(tmp_path: Path, yaml: str) -> None:
    assert select(tmp_path, yaml) is None
    assert select(tmp_path, yaml, "main") == {"main/train-0.jsonl": "train", "main/test.jsonl": "test"}
    with pytest.raises(BadInput, match="has no configurations, and no folder nosuch") as told:
        select(tmp_path, yaml, "nosuch")
    assert told.value.hint == "Set dataset.config to one of its folders: main, socratic."
    for outside in ("..", "../guide", "/", "main/train-0.jsonl"):
        with pytest.raises(BadInput, match="and no folder"):
            select(tmp_path, yaml, outside)


def test_a_configuration_may_be_a_folder(tmp_path: Path) -> None:
    yaml = "configs:\n- config_name: a\n  data_dir: main\n- config_name: b\n  data_dir: socratic\n"
    assert select(tmp_path, yaml, "a") == {"main/train-0.jsonl": "train", "main/test.jsonl": "test"}
    assert select(tmp_path, yaml, "b") == {"socratic/rows.jsonl": None}
    with pytest.raises(BadInput, match="has 2 configurations: a, b"):
        select(tmp_path, yaml)


@pytest.mark.parametrize(
    ("data_dir", "pattern"), [("..", "**/*.jsonl"), ("main", "../../**/*.jsonl"), ("/usr/lib", "**/*.jsonl")]
)
def test_nothing_outside_the_repository_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: str, pattern: str
) -> None:
    searched: list[str] = []
    scandir = os.scandir

    def record(path: Any = ".") -> Any:
        searched.append(os.path.normpath(path))
        return scandir(path)

    yaml = f"configs:\n- config_name: a\n  data_dir: {data_dir}\n  data_files: '{pattern}'\n"
    monkeypatch.setattr(os, "scandir", record)
    assert not select(tmp_path / "repository", yaml, "a")
    assert [path for path in searched if not path.startswith(str(tmp_path / "repository"))] == []
