"""An adapter folder is whole, whatever became of the save before."""

from pathlib import Path

import pytest
from support.fake_checkpoint import write_checkpoint

from training.contract.failures import TrainingFailure
from training.contract.run_directory import RunDirectory
from training.finetune import adapter
from training.workers.adapter import name_damaged_file


class Saved:
    """Saves a file of that name, as a model and a tokenizer do."""

    def __init__(self, name: str) -> None:
        self.name = name

    def save_pretrained(self, folder: Path) -> None:
        if not self.name:
            raise OSError("No space left on device")
        (folder / self.name).touch()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_new_one_takes_the_place_of_the_old_and_of_what_a_kill_left(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    adapter.save(Saved("old"), Saved("tokenizer"), folder, "# A card\n")
    (tmp_path / ".adapter-killed" / "half").mkdir(parents=True)
    adapter.save(Saved("new"), Saved("tokenizer"), folder, "# A card\n")
    assert names(folder) == {"new", "tokenizer", "README.md"}
    assert (folder / "README.md").read_text() == "# A card\n"
    assert names(tmp_path) == {"adapter"}
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("can", [True, False])
def test_two_folders_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool) -> None:
    """In one step, so that a kill leaves an adapter; where the file system has no such step, in several."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if can:
        monkeypatch.setattr(Path, "rename", None)  # it is not called
    else:
        monkeypatch.setattr(adapter.ctypes, "CDLL", lambda _: object())
    adapter._exchange(tmp_path / "one", tmp_path / "other")
    assert names(tmp_path) == {"one", "other"}
    assert (names(tmp_path / "one"), names(tmp_path / "other")) == ({"other"}, {"one"})


def test_a_save_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    adapter.save(Saved("old"), Saved("tokenizer"), folder, "# A card\n")
    with pytest.raises(OSError):
        adapter.save(Saved("new"), Saved(""), folder, "# A card\n")
    assert names(folder) == {"old", "tokenizer", "README.md"}
    assert names(tmp_path) == {"adapter"}


def test_what_is_damaged_or_gone_is_named_and_nothing_else(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    write_checkpoint(run.checkpoints, 20).rename(run.adapter)
    (run.adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(ZeroDivisionError), name_damaged_file(run.adapter, run):
        raise ZeroDivisionError
    (run.adapter / "adapter_config.json").write_text("{")
    with (
        pytest.raises(TrainingFailure, match=r"adapter_config\.json is damaged") as caught,
        name_damaged_file(run.adapter, run),
    ):
        raise ValueError("Expecting property name enclosed in double quotes: line 1 column 2 (char 1)")
    assert f"Rename {run.adapter}" in caught.value.hint
    gone = run.checkpoints / "checkpoint-20"
    with (
        pytest.raises(TrainingFailure, match=r"adapter_model\.safetensors is gone") as caught,
        name_damaged_file(gone, run),
    ):
        raise ValueError(f"Can't find 'adapter_config.json' at '{gone}'")
    assert "Ask again" in caught.value.hint
