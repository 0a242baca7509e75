"""Which files of a folder, a pattern or a repository are trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.dataset.rows import read
from training.dataset.source import SourceProblem, add_eval_files, find_split, local


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"instruction": "Who?", "response": "Rook."}\n')
    return folder


def chosen(folder: Path, name: str = ".") -> tuple[list[str], dict[str, str]]:
    """The training files, and what becomes of the others."""
    source = local(name, folder) if name != "." else local(str(folder))
    assert source.files == (*source.train_files, *source.eval_files)
    others = {str(path.relative_to(folder)): EVAL for path in source.eval_files}
    others |= {str(left.path.relative_to(folder)): left.reason for left in source.left_out}
    return [str(path.relative_to(folder)) for path in source.train_files], others


TEST, EVAL = "the test split", "for the evaluation"


@pytest.mark.parametrize(
    ("train", "left_out"),
    [
        (["train/data.jsonl"], {"test/data.jsonl": TEST}),
        (["training.jsonl"], {"testing.jsonl": TEST}),
        (["data.jsonl"], {"validation.jsonl": EVAL}),
        (["guide.jsonl"], {"guide_test.jsonl": TEST}),
        (["train1.jsonl", "train2.jsonl"], {"test.jsonl": TEST}),
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
         {"data/validation-00000-of-00001.parquet": EVAL}),
        (["Train.JSONL"], {"Dev.jsonl": EVAL, "my val.csv": EVAL, "evaluation/rows.json": TEST}),
        (["my-train-rows.jsonl.gz"], {"my-eval-rows.jsonl.gz": TEST, "train/test.jsonl": TEST}),
        (["train.jsonl"],
         {"more.jsonl": "not named as the training split, which other files are", "README.md": "not a data file"}),
        (["contest.jsonl", "trainer.csv", "value.json"], {}),
        (["a.jsonl", "b.jsonl.zst"], {"rows.xlsx": "not a data file"}),
    ],
)  # fmt: skip
def test_only_the_training_split_is_used(tmp_path: Path, train: list[str], left_out: dict[str, str]) -> None:
    make(tmp_path, *train, *left_out, ".cache/test.jsonl", ".hidden.jsonl")
    assert chosen(tmp_path) == (train, left_out)


@pytest.mark.parametrize("names", [["test.jsonl"], ["dev/a.jsonl", "test/a.jsonl"]])
def test_a_folder_without_training_rows_is_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(SourceProblem, match=r"has only .*test files, which are not trained on") as told:
        local(str(make(tmp_path, *names)))
    assert "give its own path" in told.value.hint
    assert local(str(tmp_path / names[-1])).files == (tmp_path / names[-1],)


def test_the_name_of_the_folder_itself_says_nothing(tmp_path: Path) -> None:
    assert chosen(make(tmp_path / "test", "rows.jsonl")) == (["rows.jsonl"], {})


def test_a_pattern_leaves_out_other_splits_unless_it_names_one(tmp_path: Path) -> None:
    make(tmp_path / "test", "a.jsonl", "train.jsonl", "dev.jsonl", "test-1.jsonl", "test-2.jsonl")
    folder = tmp_path / "test"
    assert chosen(folder, "*.jsonl") == (
        ["a.jsonl", "train.jsonl"],
        {"dev.jsonl": EVAL, "test-1.jsonl": TEST, "test-2.jsonl": TEST},
    )
    assert chosen(folder, "test-*.jsonl") == (["test-1.jsonl", "test-2.jsonl"], {})


def test_a_name_of_two_splits_is_not_trained_on() -> None:
    assert find_split(Path("train_test.jsonl")) == "test"
    assert find_split(Path("train-dev/rows.jsonl")) == "validation"
    assert find_split(Path("latest.jsonl")) is None


def test_a_split_can_be_named(tmp_path: Path) -> None:
    make(tmp_path, "data/train_sft-00000-of-00001.jsonl", "data/train_gen-00000-of-00001.jsonl", "data/test.jsonl")
    make(tmp_path, "data/validation.jsonl")
    for split, file in (("train_sft", "train_sft-00000-of-00001"), ("test", "test"), ("validation", "validation")):
        source = local(str(tmp_path), split=split)
        assert source.train_files == (tmp_path / "data" / f"{file}.jsonl",)
        assert len(source.eval_files) == (split != "validation")
    assert len(local(str(tmp_path)).train_files) == 2
    with pytest.raises(SourceProblem, match="has no split nosuch") as told:
        local(str(tmp_path), split="nosuch")
    assert "test, train, validation" in told.value.hint


def test_evaluation_files_can_be_named(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b.jsonl", "validation.jsonl")
    source = add_eval_files(local(str(tmp_path)), local("b.jsonl", tmp_path))
    assert source.train_files == (tmp_path / "a.jsonl",)
    assert source.eval_files == (tmp_path / "b.jsonl",)
    assert [left.path.name for left in source.left_out] == ["validation.jsonl"]
    with pytest.raises(SourceProblem, match="no rows are left"):
        add_eval_files(local("a.jsonl", tmp_path), local("a.jsonl", tmp_path))


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in ("a/rows.jsonl", "b/rows.jsonl", "b/more.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{\n")
    source = local(str(tmp_path))
    assert sorted(source.label(file) for file in range(3)) == ["a/rows.jsonl", "b/rows.jsonl", "more.jsonl"]
    assert "b/rows.jsonl, line 1: " in "\n".join(map(str, read(source).problems))
    assert local(str(tmp_path / "a")).label(0) == ""
