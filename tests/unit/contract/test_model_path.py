"""Where a model's name points to, by the one rule that the app and the trainer share."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.contract.model_path import find_model_folder, resolve_model_name


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("./m", "base/m"),
        (".", "base"),
        ("../m", "m"),
        (".hidden/m", "base/.hidden/m"),
        ("~/m", "home/m"),
        ("ROOT/m", "m"),
        ("ROOT/link", "home/m"),
        ("./missing", "base/missing"),
        ("~nobody-of-this-name/m", "base/~nobody-of-this-name/m"),
    ],
)
def test_a_path_is_absolute_and_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "m").mkdir(parents=True)
    (tmp_path / "link").symlink_to("home/m")
    name = name.replace("ROOT", str(tmp_path))
    assert find_model_folder(name, tmp_path / "base") == tmp_path / folder
    resolved = resolve_model_name(name, tmp_path / "base")
    assert resolved == str(tmp_path / folder)
    assert resolve_model_name(resolved) == resolved


@pytest.mark.parametrize("name", ["owner/name", "gpt2", "demo:llama", "unsloth/Llama-3.2-3B-Instruct"])
def test_a_hub_id_stays_one_whatever_folder_is_beside_the_profile(tmp_path: Path, name: str) -> None:
    """The trainer does not run in the profile's folder: it would not find the folder."""
    (tmp_path / name).mkdir(parents=True)
    assert find_model_folder(name, tmp_path) is None
    assert resolve_model_name(name, tmp_path) == name


@pytest.mark.parametrize("name", ["./a\0b", "./a\ud800b"])
def test_a_name_that_no_file_can_have_is_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    assert find_model_folder(name, tmp_path) == tmp_path / name
