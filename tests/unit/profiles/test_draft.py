"""A draft of a profile: it can be undone, keeps what it does not change, and overwrites nothing silently."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from support.profile_texts import WRITTEN

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.base.toml_text import CannotEdit
from codex_tui.profiles.draft import ChangedOnDisk, Draft, duplicate, explain_bad_name, find_free_name
from codex_tui.profiles.schema import read_schema


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "small.toml").write_text('title = "Small"\n[model]\nname = "x/y"\nmax_seq_length = 2048\n')
    monkeypatch.setattr(locations, "shipped_profiles", lambda: shipped)
    locations.user_profiles().mkdir(parents=True)
    return tmp_path


def write(text: str | bytes, name: str = "mine") -> Path:
    path = locations.user_profiles() / f"{name}.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_new_value_comes_with_its_comment_where_the_schema_has_it(home: Path) -> None:
    draft = Draft.open(write('[model]\nname = "x/y"\n# dtype = "float16"\n\n[lora]\nr = 8\n'))
    draft.set("model.max_seq_length", "1024")
    draft.set("model.dtype", '"bfloat16"')  # below the example that stands there
    draft.set("lora.bias", '"all"')
    draft.set("training.max_steps", "60")
    comment = {path: "\n".join(read_schema()[path].comment) for path in read_schema()}
    assert draft.text == (
        f'[model]\nname = "x/y"\n{comment["model.max_seq_length"]}\nmax_seq_length = 1024\n'
        f'# dtype = "float16"\ndtype = "bfloat16"\n\n[lora]\nr = 8\n{comment["lora.bias"]}\nbias = "all"\n'
        f"\n[training]\n{comment['training.max_steps']}\nmax_steps = 60\n"
    )
    assert draft.changed == {"model.max_seq_length", "model.dtype", "lora.bias", "training.max_steps"}


def test_undo_redo_and_what_is_changed(home: Path) -> None:
    draft = Draft.open(write(WRITTEN.replace("dataset.x = 1\n", "")))
    first = draft.text
    draft.set("model.max_seq_length", "2048")  # as it is
    assert not draft.can_undo
    draft.set("model.max_seq_length", "1024")
    draft.set("title", None)
    assert draft.changed == {"model.max_seq_length", "title"}
    assert draft.resolved.values["model.max_seq_length"] == 1024
    draft.undo()
    assert draft.changed == {"model.max_seq_length"}
    draft.redo()
    draft.undo()
    draft.undo()
    assert draft.text == first and not draft.dirty and not draft.can_undo
    draft.redo()
    assert draft.text != first
    draft.undo()
    draft.set("lora.r", "8")
    changed = draft.text
    draft.redo()  # what was undone is gone
    assert draft.text == changed


def test_saving_keeps_bytes_mode_and_link(home: Path) -> None:
    data = b'\xef\xbb\xbf# \xc3\xa9\r\n[model]\r\nname = "x/y" # keep\r\nmax_seq_length = 2048'
    target = home / "elsewhere.toml"
    target.write_bytes(data)
    target.chmod(0o640)
    link = locations.user_profiles() / "mine.toml"
    link.symlink_to(target)
    draft = Draft.open(link)
    draft.save()
    assert target.read_bytes() == data
    draft.set("model.max_seq_length", "1024")
    draft.save()
    assert target.read_bytes() == data.replace(b"2048", b"1024")
    assert link.is_symlink() and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert not draft.dirty and not draft.changed
    assert [path.name for path in locations.user_profiles().iterdir()] == ["mine.toml"]


def test_a_file_that_another_hand_changed_is_not_overwritten(home: Path) -> None:
    path = write('[model]\nname = "x/y"\n')
    draft = Draft.open(path)
    draft.set("lora.r", "8")
    path.write_text('[model]\nname = "theirs"\n')
    assert draft.changed_on_disk()
    with pytest.raises(ChangedOnDisk, match="changed by another program"):
        draft.save()
    assert path.read_text() == '[model]\nname = "theirs"\n'
    draft.reload()
    assert draft.resolved.values["model.name"] == "theirs" and not draft.dirty
    draft.undo()  # what was typed is not lost
    assert "r = 8" in draft.text and draft.dirty
    draft.save()
    assert "r = 8" in path.read_text()
    path.unlink()
    with pytest.raises(ChangedOnDisk, match="deleted"):
        draft.save()
    draft.save(overwrite=True)
    assert path.exists()


PARENT = '[model]\nname = "x/y"\n[lora]\nr = 8\n'


@pytest.fixture
def base(home: Path) -> Path:
    """The grandparent of a draft: `mine` extends `middle`, which extends `base`."""
    write('extends = "base"\n', "middle")
    return write(PARENT, "base")


def test_a_parent_that_changes_is_read_again_and_reported_once(base: Path) -> None:
    draft = Draft.open(write('extends = "middle"\n'))
    assert draft.resolved.inherited["lora.r"] == 8
    assert draft.reread_parents() == []
    base.write_text(PARENT.replace("8", "16"))
    assert draft.reread_parents() == [base]
    assert draft.resolved.inherited["lora.r"] == 16
    assert draft.reread_parents() == []
    base.unlink()
    assert draft.reread_parents() == [base]
    assert [problem.field for problem in draft.resolved.problems] == ["extends"]
    base.write_text(PARENT)
    assert draft.reread_parents() == [base]
    assert draft.resolved.profile


def test_a_parent_that_changes_before_an_edit_or_a_save_is_reported_too(base: Path) -> None:
    draft = Draft.open(write('extends = "middle"\n'))
    for number, act in enumerate([lambda: draft.set("model.max_seq_length", "1024"), draft.save, draft.undo], 16):
        assert draft.resolved.problems == []
        base.write_text(PARENT.replace("8", str(number)))
        act()
        assert draft.resolved.inherited["lora.r"] == number
        assert draft.reread_parents() == [base]
        assert draft.reread_parents() == []


def test_another_parent_is_no_change_on_the_disk(base: Path) -> None:
    draft = Draft.open(write('extends = "middle"\n'))
    assert draft.resolved.problems == []
    draft.set("extends", '"small"')
    assert draft.resolved.inherited["model.max_seq_length"] == 2048
    assert draft.reread_parents() == []


def test_a_shipped_profile_gets_a_child(home: Path) -> None:
    draft = Draft.extending(home / "shipped" / "small.toml")
    assert draft.is_new and not draft.dirty
    draft.set("model.max_seq_length", "1024")
    assert draft.resolved.inherited["model.max_seq_length"] == 2048
    assert draft.resolved.parent == home / "shipped" / "small.toml"
    draft.save_as("tiny")
    path = locations.user_profiles() / "tiny.toml"
    comment = "\n".join(read_schema()["model.max_seq_length"].comment)
    assert path.read_text() == (
        f'extends = "small"\ntitle = "Small, my own"\n\n[model]\n{comment}\nmax_seq_length = 1024\n'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert draft.path == path and not draft.is_new


def test_copies_never_overwrite(home: Path) -> None:
    path = write(WRITTEN)
    copy = duplicate(path, "copy.toml")
    assert copy.read_bytes() == path.read_bytes()
    for name in ("copy", "../copy", "", ".hidden", "a b"):
        with pytest.raises(BadInput):
            duplicate(path, name)
    with pytest.raises(BadInput, match="already"):
        Draft.open(path).save_as("mine")
    assert (find_free_name("mine"), find_free_name("new")) == ("mine-2", "new")


@pytest.mark.parametrize("text", ["[model\n", "lora = 3\n", "[[lora]]\nr = 1\n", "[lora.r]\nx = 1\n", "lora.r.x = 1\n"])
def test_what_can_not_be_changed_alone_says_so(home: Path, text: str) -> None:
    draft = Draft.open(write(text))
    with pytest.raises(CannotEdit):
        draft.set("lora.r", "8")
    assert draft.text == text


def test_a_file_that_is_no_text(home: Path) -> None:
    with pytest.raises(BadInput, match="UTF-8"):
        Draft.open(write(b"\xff\xfe"))
    with pytest.raises(BadInput, match="can't be read"):
        Draft.open(home / "nowhere.toml")


def test_a_new_profile_hides_no_shipped_one(home: Path) -> None:
    assert explain_bad_name("small") == "small is a shipped profile, which this one would hide. Choose another name."
    with pytest.raises(BadInput, match="would hide"):
        Draft.open(write('extends = "small"\n')).save_as("small")
    assert not (locations.user_profiles() / "small.toml").exists()
