"""One profile over another: what holds, where it comes from, and which file is wrong."""

from pathlib import Path

import pytest

from codex_tui.base import locations
from codex_tui.profiles.problems import ProfileError
from codex_tui.profiles.resolve import Resolved, load_profile, resolve


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's own profiles folder."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    locations.user_profiles().mkdir(parents=True)
    return locations.user_profiles()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def told(path: Path) -> list[str]:
    return [str(problem) for problem in resolved(path).problems]


def resolved(path: Path) -> Resolved:
    return resolve(path.read_text(), path)


def test_what_is_not_set_is_as_in_the_parent(mine: Path) -> None:
    path = write(mine / "mine.toml", 'extends = "rtx3050-4gb"\n[lora]\nr = 8\n[model]\nmax_seq_length = 2048\n')
    found = resolved(path)
    assert found.profile is not None and found.profile.lora.r == 8
    assert found.parent == locations.shipped_profiles() / "rtx3050-4gb.toml"
    assert found.own == {"extends", "lora.r", "model.max_seq_length"}
    assert (found.values["lora.r"], found.inherited["lora.r"]) == (8, 16)
    assert found.inherited["extends"] is None
    assert found.values["model.name"] == found.inherited["model.name"] == load_profile(found.parent).model.name
    assert found.values["title"] == found.values["description"] == ""  # the parent's would mislead
    its_own = found.own | {"title", "description"}
    parents = resolved(found.parent).values
    assert all(found.values[field] == parents[field] for field in parents if field not in its_own)


def test_extending_is_the_same_as_writing_all_of_it(mine: Path) -> None:
    write(mine / "base.toml", '[model]\nname = "a"\n[lora]\nr = 4\ntarget_modules = ["q_proj", "v_proj"]\n')
    write(mine / "middle.toml", 'extends = "base"\n[lora]\nlora_alpha = 9\ntarget_modules = ["k_proj"]\n')
    top = load_profile(write(mine / "top.toml", 'extends = "middle"\n[training]\nseed = 1\n'))
    whole = '[model]\nname = "a"\n[lora]\nr = 4\nlora_alpha = 9\ntarget_modules = ["k_proj"]\n[training]\nseed = 1\n'
    alone = load_profile(write(mine / "alone.toml", whole))
    assert top.model_dump(exclude={"extends"}) == alone.model_dump(exclude={"extends"})


def test_own_version_of_a_shipped_profile_extends_that(mine: Path) -> None:
    path = write(mine / "demo.toml", 'extends = "demo"\n[lora]\nr = 2\n')
    found = resolved(path)
    assert found.parent == locations.shipped_profiles() / "demo.toml"
    assert found.profile is not None and found.profile.model.name == "demo:llama"
    own = write(mine / "mine.toml", 'extends = "demo"\n')
    assert load_profile(own).lora.r == 2  # the person's own comes first


def test_paths_of_a_parent_are_relative_to_it(mine: Path, tmp_path: Path) -> None:
    write(tmp_path / "base" / "b.toml", '[model]\nname = "./small"\n[dataset]\npath = "rows.jsonl"\n')
    child = write(tmp_path / "child.toml", 'extends = "./base/b.toml"\n')
    assert resolved(child).values["model.name"] == str(tmp_path / "base" / "small")
    assert resolved(child).values["dataset.path"] == str(tmp_path / "base" / "rows.jsonl")
    own = write(tmp_path / "own.toml", 'extends = "base/b.toml"\n[dataset]\npath = "rows.jsonl"\n')
    assert resolved(own).values["dataset.path"] == "rows.jsonl"
    demo = write(tmp_path / "d.toml", 'extends = "demo"\n')
    assert resolved(demo).values["dataset.path"] == "demo:zombie-waves"


def test_a_circle_names_the_way(mine: Path) -> None:
    a = write(mine / "a.toml", 'extends = "b"\n')
    write(mine / "b.toml", '# first\nextends = "./a.toml"\n')
    [problem] = told(a)
    assert problem.startswith(f"in {mine / 'b.toml'}, line 2: extends: goes in a circle, a.toml → b.toml → a.toml")
    alone = write(mine / "alone.toml", 'extends = "./alone.toml"\n')
    assert "line 1: extends: goes in a circle" in told(alone)[0]
    named = write(mine / "named.toml", 'extends = "named"\n')
    assert told(named) == ["line 1: extends: 'named' is this very profile, and no other one has that name"]
    beside = write(mine / "beside.toml", 'extends = "a"\n')
    assert len(told(beside)) == 1


def test_a_missing_parent_comes_with_a_near_name_and_nothing_else(mine: Path) -> None:
    path = write(mine / "mine.toml", 'title = "x"\nextends = "rtx3050-4bg"\n')
    assert told(path) == ["line 2: extends: no profile is called 'rtx3050-4bg'; did you mean rtx3050-4gb?"]
    assert "there are: demo, rtx" in told(write(path, 'extends = "zzz"\n'))[0]
    assert told(write(path, 'extends = "../none.toml"\n')) == [
        f"line 1: extends: there is no file {mine.parent}/none.toml"
    ]
    for odd in ("a\\u0000b", "x" * 5000, "~nobody/x.toml", "/", "./" + "y" * 5000):
        assert len(told(write(path, f'extends = "{odd}"\n'))) == 1
    assert told(write(path, "extends = 3\n")) == ["line 1: extends: should be text (given: 3)"]


def test_what_is_wrong_in_a_parent_names_that_file(mine: Path) -> None:
    parent = write(mine / "base.toml", '[model]\nname = "a"\n[lora]\nr = 0\n')
    child = write(mine / "mine.toml", 'extends = "base"\n[lora]\nbias = "some"\n')
    own, other = told(child)
    assert own.startswith("line 3: lora.bias: should be ")
    assert other.startswith(f"in {parent}, line 4: lora.r: should be a whole number, at least 1")
    with pytest.raises(ProfileError, match=r"base\.toml, line 4: lora\.r"):
        load_profile(child)
    write(parent, "[model\n")
    assert [line for line in told(child) if str(parent) in line and "line 1: not valid TOML" in line]
    parent.write_bytes(b"\xff")
    assert any("not UTF-8" in line and str(parent) in line for line in told(child))


def test_an_impossible_combination_is_blamed_on_the_file_that_made_it(mine: Path) -> None:
    parent = write(mine / "base.toml", '[model]\nname = "a"\nload_in_4bit = false\ndtype = "float32"\n')
    child = write(mine / "mine.toml", 'extends = "base"\n[model]\nload_in_4bit = true\n')
    assert told(parent) == []
    assert [line.partition(": ")[0] for line in told(child)] == ["model.dtype"]
    write(parent, '[model]\nname = "a"\ndtype = "float32"\n')
    assert told(write(child, 'extends = "base"\n'))[0].startswith(f"in {parent}, line 3: model.dtype: ")
    assert told(write(child, 'extends = "base"\n[model]\nload_in_4bit = false\n')) == []  # mended here


def test_a_name_is_missing_only_where_no_parent_has_one(mine: Path) -> None:
    write(mine / "base.toml", "[lora]\nr = 4\n")
    assert "model.name: required" in told(write(mine / "a.toml", 'extends = "base"\n'))[0]
    assert told(write(mine / "a.toml", 'extends = "base"\n[model]\nname = "x"\n')) == []


def test_overrides_hold_over_the_file(mine: Path) -> None:
    path = write(mine / "mine.toml", 'extends = "demo"\ntitle = "Mine"\n[lora]\nr = 8\n')
    found = resolve(path.read_text(), path, {"lora.r": 4, "model.max_seq_length": 64})
    assert found.profile is not None and found.profile.title == "Mine"
    assert (found.values["lora.r"], found.values["model.max_seq_length"]) == (4, 64)
    assert found.own == {"extends", "title", "lora.r"}
    assert found.inherited["lora.r"] == 16
    broken = resolve(path.read_text(), path, {"lora.r": "4", "model.dtype": "float32"})
    assert [(problem.field, problem.line) for problem in broken.problems] == [("lora.r", None), ("model.dtype", None)]
    assert resolve("", path, {"model.name": "x"}).problems == []


def test_hours_of_another_form_name_their_line_and_the_right_form(mine: Path) -> None:
    path = write(mine / "mine.toml", '[model]\nname = "a"\n[keeper]\nhours = "11pm-7am"\n')
    assert told(path) == ['line 4: keeper.hours: write two times of the day as "23:00-07:00"']
    assert told(write(path, '[model]\nname = "a"\n[keeper]\nhours = "23:00-07:00"\n')) == []
