"""A draft of a profile: one value changes, every other byte stays, and nothing is overwritten silently."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tui.core import locations
from codex_tui.core.errors import BadInput
from codex_tui.core.profile_document import ChangedOnDisk, Draft, duplicate, free_name
from codex_tui.core.toml_text import BOM, CannotEdit, layout, put, take
from codex_tui.core.typed import literal, shown, typed, value_of
from training.contract.knobs import knobs

WRITTEN = """\
# A profile by hand.
title = 'Mine'   # the title

  [ model ]   # indented, and
  name = "unsloth/Llama-3.2-3B-Instruct" # why not
\tmax_seq_length=2_048
  # dtype = "float16"

[lora]
target_modules = [  # the MLP too
  "q_proj", # first
  "v_proj",
]
dataset.x = 1

[training]
learning_rate = 2e-4
"""
ORDER = list(knobs())


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


# Every way of writing a profile: what stands between the values is anything that TOML allows there.
SPACES = st.sampled_from(["", " ", "\t", "  "])
COMMENTS = st.sampled_from(["", " # why", "# é = [", ' # "', " #"])
VALUES = st.sampled_from(
    [
        "1",
        "2e-4",
        "true",
        '"a # b"',
        "'c = \"d'",
        '"""e\n[f]\n"""',
        "'''g'''''",
        "[1, [2], # h\n 3,]",
        '"\\"i]"',
        "-0.5",
    ]
)
NAMES = ["r", "lora_alpha", "bias", "use_rslora"]


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """The text of a table [lora], and the text of each of its values."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    written = {name: draw(VALUES) for name in names}
    quoted = draw(st.sampled_from(["{}", '"{}"', "'{}'"]))
    style = draw(st.sampled_from(["header", "dotted", "braces"]))
    nl = draw(st.sampled_from(["\n", "\r\n"]))
    text = draw(st.sampled_from(["", BOM, "# top\n"])) + draw(st.sampled_from(["", 'title = "t" # T\n', "\n\n"]))
    if style == "braces":
        written = {name: value for name, value in written.items() if "\n" not in value} or {"r": "1"}
        inside = ",".join(
            f"{draw(SPACES)}{quoted.format(n)}{draw(SPACES)}= {v}{draw(SPACES)}" for n, v in written.items()
        )
        text += f"lora ={draw(SPACES)}{{{inside}}}{draw(COMMENTS)}\n"
    else:
        text += f"{draw(SPACES)}[{draw(SPACES)}lora ]{draw(COMMENTS)}\n" if style == "header" else ""
        for name, value in written.items():
            key = quoted.format(name)
            key = key if style == "header" else f"lora{draw(SPACES)}.{key}"
            text += f"{draw(SPACES)}{key}{draw(SPACES)}={draw(SPACES)}{value}{draw(COMMENTS)}\n"
            text += draw(st.sampled_from(["", "\n", "# between\n"]))
    text += draw(st.sampled_from(["", "[training]\nseed = 1", "[training]\nseed = 1\n"]))
    return text.replace("\n", nl), {name: value.replace("\n", nl) for name, value in written.items()}


def parsed(text: str) -> dict[str, Any]:
    return tomllib.loads(text.removeprefix(BOM))


@given(tables())
def test_every_value_is_found_where_it_stands(table: tuple[str, dict[str, str]]) -> None:
    text, written = table
    found = layout(text).entries
    for name, value in written.items():
        entry = found[f"lora.{name}"]
        assert text[entry.value : entry.end] == value


@given(tables(), st.sampled_from(NAMES), VALUES)
def test_a_change_leaves_every_other_byte(table: tuple[str, dict[str, str]], name: str, value: str) -> None:
    text, written = table
    value = value if "\n" not in value else "7"
    new = put(text, f"lora.{name}", value, ["# said above"], ORDER)
    assert parsed(new)["lora"] == {**parsed(text)["lora"], name: value_of(value)}
    if name in written:
        entry = layout(text).entries[f"lora.{name}"]
        assert new == text[: entry.value] + value + text[entry.end :]
    else:  # one piece was put in, and taking it out again leaves what was there
        at = next((i for i, (a, b) in enumerate(zip(text, new, strict=False)) if a != b), len(text))
        piece = len(new) - len(text)
        assert any(new[:start] + new[start + piece :] == text for start in range(max(0, at - piece), at + 1))


@given(tables(), st.sampled_from(NAMES))
def test_what_was_put_in_can_be_taken_out(table: tuple[str, dict[str, str]], name: str) -> None:
    text, written = table
    if name not in written:
        new = put(text, f"lora.{name}", "7", ["# said above", "# in two lines"], ORDER)
        back = take(new, f"lora.{name}", ["# said above", "# in two lines"])
        assert back.rstrip("\r\n") == text.rstrip("\r\n")
    else:
        gone = parsed(take(text, f"lora.{name}", [])).get("lora", {})
        assert gone == {key: value for key, value in parsed(text)["lora"].items() if key != name}


FITTING: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(2**60), 2**60),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(st.characters(exclude_categories=["Cs"])),
    "array": st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
}


@given(st.data(), st.sampled_from(ORDER))
def test_what_is_shown_can_be_typed(data: st.DataObject, path: str) -> None:
    knob = knobs()[path]
    kinds = [FITTING[kind] for kind in knob.kinds] + ([st.sampled_from(knob.choices)] if knob.choices else [])
    value = data.draw(st.one_of(kinds))
    again = typed(knob, shown(value))
    assert again is not None
    assert repr(value_of(again)) == repr(value)
    assert repr(value_of(literal(value))) == repr(value)


@given(st.sampled_from(ORDER), st.text())
def test_whatever_is_typed_is_one_value(path: str, text: str) -> None:
    if (value := typed(knobs()[path], text.encode("utf-8", "ignore").decode())) is not None:
        assert parsed(put(WRITTEN.replace("dataset.x = 1\n", ""), path, value, [], ORDER))


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("lora.r", "1,024", "1024"),
        ("lora.r", "1,5", '"1,5"'),  # no thousands: the schema says what is wrong
        ("lora.r", "16 # x", '"16 # x"'),
        ("training.learning_rate", "2e-4", "2e-4"),  # as it was typed
        ("training.learning_rate", ".5", "0.5"),
        ("model.offload_layers", "auto", '"auto"'),
        ("model.offload_layers", "4", "4"),
        ("training.gradient_checkpointing", "true", "true"),
        ("lora.target_modules", "q_proj, v_proj,", '["q_proj", "v_proj"]'),
        ("lora.modules_to_save", "[]", "[]"),
        ("dataset.system_prompt", '"two\\nlines"', '"two\\nlines"'),
        ("dataset.system_prompt", 'say "hi"', '"say \\"hi\\""'),
        ("model.name", "3", '"3"'),
        ("model.revision", "  ", None),
    ],
)
def test_typing(path: str, text: str, value: str | None) -> None:
    assert typed(knobs()[path], text) == value


def test_a_new_value_comes_with_its_comment_where_the_schema_has_it(home: Path) -> None:
    draft = Draft.open(write('[model]\nname = "x/y"\n# dtype = "float16"\n\n[lora]\nr = 8\n'))
    draft.set("model.max_seq_length", "1024")
    draft.set("model.dtype", '"bfloat16"')  # below the example that stands there
    draft.set("lora.bias", '"all"')
    draft.set("training.max_steps", "60")
    comment = {path: "\n".join(knobs()[path].comment) for path in ORDER}
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
    assert draft.text == first and not draft.dirty and not draft.can_undo and draft.can_redo
    draft.set("lora.r", "8")
    assert not draft.can_redo


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


def test_a_shipped_profile_gets_a_child(home: Path) -> None:
    draft = Draft.extending(home / "shipped" / "small.toml")
    assert draft.is_new and not draft.dirty
    draft.set("model.max_seq_length", "1024")
    assert draft.resolved.inherited["model.max_seq_length"] == 2048
    assert draft.resolved.parent == home / "shipped" / "small.toml"
    draft.save_as("tiny")
    path = locations.user_profiles() / "tiny.toml"
    comment = "\n".join(knobs()["model.max_seq_length"].comment)
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
    assert (free_name("mine"), free_name("new")) == ("mine-2", "new")


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
