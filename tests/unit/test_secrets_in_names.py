"""A person may paste a URL with a password where a name or a path is expected. The password is shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex_tui.cli import main

URL = "https://user:s3cret@example.invalid/x.jsonl?token=hf_abcdefghijklmnopqrstuvwxyz0123"
SHOWN = "https://…@example.invalid/x.jsonl?token=…"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    try:
        return main(list(arguments))
    except SystemExit as exit_:  # argparse
        assert isinstance(exit_.code, int)
        return exit_.code


@pytest.mark.parametrize(
    "command",
    [
        ["data", "check", URL],
        ["data", "check", "demo:zombie-waves", "--profile", URL],
        ["data", "view", URL],
        ["data", "push", URL, "me/rows"],
        ["data", "push", "rows.jsonl", URL],
        ["data", "pull", URL],
        ["data", "status", URL],
        ["train", "demo", "--dataset", URL, "--headless"],
        ["train", "demo", "--name", URL, "--headless"],
        ["train", "demo", "--python", URL, "--headless"],
        ["train", "demo", "--headless", "--set", f"dataset.path={URL}"],
        ["train", "demo", "--headless", "--set", f"model.name={URL}"],
        ["train", "demo", "--headless", "--set", f"{URL}=1"],
        ["train", URL, "--headless"],
        ["profile", "show", URL],
        ["profile", "explain", URL],
        ["forecast", URL],
        ["attach", URL],
        ["resume", URL],
        ["chat", URL, "--prompt", "hi"],
        ["push", URL, "me/adapter"],
        ["setup", "--python", URL],
        ["doctor", "--python", URL],
        [URL],
        ["runs", URL],
        ["chat", "x", "--max-new-tokens", URL],
    ],
    ids=" ".join,
)
def test_no_command_repeats_a_password(home: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    (home / "rows.jsonl").write_text('{"instruction": "a", "response": "b"}\n')
    assert run(*command) in (2, 3)
    output = "".join(capsys.readouterr())
    assert "s3cret" not in output and "hf_abc" not in output
    assert output
    files = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cret" in path.read_bytes() or b"hf_abc" in path.read_bytes()]


@pytest.mark.parametrize("command", [["data", "check", URL], ["train", "demo", "--dataset", URL, "--headless"]])
def test_a_url_is_said_to_be_no_dataset(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert run(*command) == 2
    assert capsys.readouterr().err == (
        f"codex-tui: {SHOWN} is a URL, not a file or a dataset of the Hub.\n"
        "Download the file and give its path, or name a dataset as owner/name.\n"
    )


def test_the_page_of_a_dataset_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    for page in ("https://huggingface.co/datasets/me/waves", "https://hf.co/datasets/me/waves/tree/main?x=1"):
        assert run("data", "check", page) == 2
        assert capsys.readouterr().err.endswith("\nName it as me/waves.\n")


def test_a_profile_with_a_password_is_refused_and_shows_it_nowhere(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = home / "p.toml"
    profile.write_text(f'[model]\nname = "demo:llama"\n[dataset]\npath = "{URL}"\n')
    assert run("train", str(profile), "--dataset", "demo:zombie-waves", "--headless") == 2
    assert run("profile", "check", str(profile), "--json") == 2
    assert run("profile", "show", str(profile)) in (0, 2)
    output = "".join(capsys.readouterr())
    assert "a token does not belong in a profile" in output
    assert "s3cret" not in output and "hf_abc" not in output


def test_a_url_is_said_to_be_no_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = home / "p.toml"
    profile.write_text('[model]\nname = "https://huggingface.co/unsloth/Llama-3.2-1B"\n')
    assert run("profile", "check", str(profile), "--json") == 2
    [wrong] = json.loads(capsys.readouterr().out)["errors"]
    assert wrong["field"] == "model.name" and "owner/name" in wrong["message"]
