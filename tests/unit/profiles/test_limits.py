"""What a small profile from a stranger can cost: a file, a key, a chain of files and a folder of them have limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex_tui.base import locations
from codex_tui.base.toml import MAX_BYTES, MAX_KEY_PARTS
from codex_tui.cli import main
from codex_tui.profiles import resolve
from codex_tui.profiles.layer import MAX_FIELDS
from codex_tui.profiles.library import list_profiles
from codex_tui.profiles.resolve import MAX_CHAIN, MAX_COMPARED_NAMES


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's own profiles folder."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    locations.user_profiles().mkdir(parents=True)
    return locations.user_profiles()


def find_error(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The only error of `profile check`."""
    assert main(["profile", "check", str(path), "--json"]) == 2
    [error] = json.loads(capsys.readouterr().out)["errors"]
    return dict(error)


def test_a_key_of_many_parts_is_one_error_with_its_line(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mine / "deep.toml"
    path.write_text('title = "x"\n' + ".".join(["a"] * 100_000) + " = 1\n")
    error = find_error(path, capsys)
    assert error["message"] == f"a key has more than {MAX_KEY_PARTS} parts, separated by dots"
    assert error["line"] == 2


def test_a_large_file_is_not_read(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mine / "large.toml"
    path.write_text("[model]\nname = 'demo:llama'\n" + "#" * MAX_BYTES)
    assert find_error(path, capsys)["message"] == "can't be read: it is larger than 1 MiB"
    for command in (["profile", "show"], ["forecast"], ["train", "--headless"]):
        assert main([command[0], *command[1:], str(path)]) in (1, 2)
        assert "larger than 1 MiB" in capsys.readouterr().err


def test_thousands_of_unknown_fields_are_one_error(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mine / "many.toml"
    path.write_text("[training]\n" + "".join(f"lerning_rate_{number} = 1\n" for number in range(40_000)))
    message = find_error(path, capsys)["message"]
    assert message == f"sets 40,000 fields, more than the {MAX_FIELDS} that a profile can have"


def write_chain(folder: Path, files: int) -> Path:
    """Write `files` profiles, each of which extends the next one, and return the first."""
    for number in range(files - 1):
        (folder / f"chain-{number}.toml").write_text(f'extends = "chain-{number + 1}"\n')
    (folder / f"chain-{files - 1}.toml").write_text('[model]\nname = "demo:llama"\n')
    return folder / "chain-0.toml"


def test_a_chain_of_files_has_a_limit_and_the_error_names_it(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "check", str(write_chain(mine, MAX_CHAIN))]) == 0
    capsys.readouterr()
    error = find_error(write_chain(mine, 2000), capsys)
    assert error["field"] == "extends"
    assert f"leads through more than {MAX_CHAIN} files, chain-0.toml → chain-1.toml → " in str(error["message"])


def test_a_circle_is_told_as_a_circle_where_it_is_as_long_as_the_limit(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_chain(mine, MAX_CHAIN)
    (mine / f"chain-{MAX_CHAIN - 1}.toml").write_text('extends = "chain-0"\n')
    assert "goes in a circle" in str(find_error(path, capsys)["message"])


def test_a_folder_of_profiles_with_wrong_parents_is_listed_without_comparing_all_names(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a comparison of each wrong name with each profile, 1,000 profiles took 21 s."""
    compared: list[str] = []
    monkeypatch.setattr(resolve, "find_close_match", lambda word, _names: compared.append(word) or "")
    resolve._list_names.cache_clear()
    for number in range(MAX_COMPARED_NAMES + 100):
        (mine / f"mine-{number}.toml").write_text(f'extends = "mime-{number}"\n')
    wrong = [entry for entry in list_profiles() if not entry.shipped]
    assert len(wrong) == MAX_COMPARED_NAMES + 100
    assert all("codex-tui profile list" in entry.problems[0].message for entry in wrong)
    assert compared == []
    assert resolve._list_names.cache_info().misses == 2
