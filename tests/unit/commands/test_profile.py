"""profile check, show and list, as a person or a script calls them."""

import json
import os
import random
import tomllib
from pathlib import Path

import pytest
from support.called_commands import call

from codex_tui.base import locations
from codex_tui.cli import main
from training.contract.profile import Profile

TOKEN = "hf_" + "aB3" * 10
PIECES = [
    '"',
    "=",
    "[",
    "]",
    "\n",
    "-1",
    "nan",
    "é",
    "\x00",
    "'''",
    "0x" + "f" * 9000,
    "9" * 9000,
    "true",
    TOKEN,
    "\u2028",
]
MODEL = '[model]\nname = "demo:llama"\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    return tmp_path


def mutations(source: str, dice: random.Random) -> str:
    text = list(source)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(text))
        text[at : at + dice.randint(0, 3)] = dice.choice(PIECES)
    return "".join(text)


def test_500_broken_profiles_are_each_told_what_is_wrong_and_left_alone(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(0)
    sources = [(locations.shipped_profiles() / f"{name}.toml").read_text() for name in ("demo", "rtx3050-4gb")]
    sources.append('extends = "demo"\n[lora]\nr = 8\n')
    path = home / "broken.toml"
    broken = tries = 0
    while broken < 500:
        tries += 1
        text = mutations(sources[tries % 3], dice)
        path.write_bytes(text.encode())
        code = main(["profile", "check", str(path)])
        out, err = capsys.readouterr()
        assert err == "" and TOKEN not in out
        assert path.read_bytes() == text.encode()
        if code == 0:
            continue
        assert code == 2
        broken += 1
        for line in out.removesuffix("\n").split("\n"):
            start = f"✗ {path}: "
            assert line.startswith(start), line
            where = line.removeprefix(start).partition(": ")[0]
            assert where.startswith("line ") or "." in where or where in Profile.model_fields, line
            assert len(line) < 400
    assert tries < 1500
    assert [file.name for file in home.iterdir()] == ["broken.toml"]


def test_a_secret_is_refused_and_never_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "mine.toml"
    for number, text in enumerate(
        [
            MODEL + f'revision = "{TOKEN}"\n',
            MODEL + f"# my token: {TOKEN}\n",
            MODEL + f'{TOKEN} = "x"\n',
            MODEL + f'[lora]\ntarget_modules = ["q_proj", "{TOKEN}"]\n',
            MODEL + '[wandb]\napi_key = "sesame123"\n',
            MODEL + "wandb = { project = 'x', wandb_token = 'sesame123' }\n",
            MODEL + 'HF_TOKEN = """\nsesame123"""\n',
            MODEL + f'[lora]\nr = "{TOKEN}"\n',
            MODEL + 'password = "sesame123"\n[lora\n',
            f'extends = "{TOKEN}"\n',
            MODEL + f'revision = "hf\\u005f{TOKEN[3:]}"\n',
        ]
    ):
        path.write_text(text)
        said = call(capsys, "profile", "check", str(path), exit_code=2)
        if "[lora\n" not in text:
            assert "a token does not belong in a profile" in said, (number, said)
            assert "HF_TOKEN" in said and "hf auth login" in said
        said += call(capsys, "profile", "check", str(path), "--json", exit_code=2)
        said += call(capsys, "profile", "show", str(path), exit_code=2)
        said += call(capsys, "profile", "show", str(path), "--json", exit_code=2)
        said += call(capsys, "train", str(path), exit_code=2)
        said += call(capsys, "profile", "list")
        if "u005f" not in text:
            assert TOKEN not in said and TOKEN[3:] not in said and "sesame123" not in said, (number, said)
    in_list = f'lora.target_modules=["{TOKEN}"]'
    for option in (f"model.name={TOKEN}", f"model.{TOKEN}=1", TOKEN, "wandb.api_key=sesame123", in_list):
        said = call(capsys, "profile", "check", "demo", "--set", option, exit_code=2)
        assert TOKEN not in said and "sesame123" not in said
    for command in (["explain", TOKEN], ["show", TOKEN], ["show", f"./{TOKEN}"]):
        assert TOKEN not in call(capsys, "profile", *command, exit_code=2)


def test_show_says_what_is_extended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "mine.toml"
    path.write_text('extends = "demo"\n# my rank\n[lora]\nr = 8\n')
    said = call(capsys, "profile", "show", str(path))
    parent = locations.shipped_profiles() / "demo.toml"
    assert said == f"# Fields that are not set here take their values from {parent}\n{path.read_text()}"
    whole = json.loads(call(capsys, "profile", "show", str(path), "--json"))
    assert (whole["lora"]["r"], whole["lora"]["lora_alpha"], whole["model"]["name"]) == (8, 32, "demo:llama")
    assert (whole["extends"], whole["title"]) == ("demo", "")
    whole = tomllib.loads(call(capsys, "profile", "show", str(path), "--set", "lora.r=4"))
    assert (whole["lora"]["r"], whole["lora"]["lora_alpha"]) == (4, 32)


def test_show_names_what_is_wrong_below_the_text(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "mine.toml"
    for data, text, problem in (
        (b"\xff\xfe\x00[\x1b]0;x", "␛]0;x", "line 1: not UTF-8 text"),
        (b'extends = "./mine.toml"\n', 'extends = "./mine.toml"\n', "goes in a circle, mine.toml → mine.toml"),
        (MODEL.encode() + b"[lora]\nr = 0 # mine\n", "r = 0 # mine\n", "line 4: lora.r: should be a whole number"),
    ):
        path.write_bytes(data)
        assert main(["profile", "show", str(path)]) == 2
        out, err = capsys.readouterr()
        assert text in out and problem in err
        assert "What is not set here" not in out


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 2500, "a" * 300 + ".toml"])
def test_a_name_of_any_length_is_bad_input(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["profile", "show"], ["profile", "check"], ["train"]):
        said = call(capsys, *command, name, exit_code=2)
        assert "profile" in said and len(said) < 500


def test_list_says_what_a_profile_without_title_extends(capsys: pytest.CaptureFixture[str]) -> None:
    locations.user_profiles().mkdir(parents=True)
    (locations.user_profiles() / "mine.toml").write_text('extends = "demo"\n')
    assert "mine            yours    extends demo\n" in call(capsys, "profile", "list")


def test_what_is_no_file_is_listed_as_that_and_never_waited_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = locations.user_profiles()
    folder.mkdir(parents=True)
    os.mkfifo(folder / "fifo.toml")
    (folder / "zero.toml").symlink_to("/dev/zero")
    (folder / "folder.toml").mkdir()
    listed = json.loads(call(capsys, "profile", "list", "--json"))
    assert [entry["name"] for entry in listed if not entry["ok"]] == ["fifo", "folder", "zero"]
    (folder / "loop.toml").symlink_to("loop.toml")
    for name, what in (("fifo", "not a file"), ("zero", "not a file"), ("loop", "a link that leads nowhere"),
                       ("folder", "a folder, not a profile file"), ("none", "no such profile file")):  # fmt: skip
        path = folder / f"{name}.toml"
        assert f"{path}: {what}." in call(capsys, "profile", "check", str(path), exit_code=2)


def test_check_compares_the_modules_with_the_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "misspelt.toml"
    path.write_text('[model]\nname = "demo:llama"\n[lora]\ntarget_modules = ["q_proj", "gate_porj"]\n')
    assert main(["profile", "check", str(path)]) == 2
    says = "has gate_porj, which the model doesn't have. The model has q_proj, k_proj,"
    assert f"line 4: lora.target_modules: {says}" in capsys.readouterr().out
    assert main(["profile", "check", str(path), "--json", "--set", 'lora.modules_to_save=["nosuch"]']) == 2
    [error] = json.loads(capsys.readouterr().out)["errors"]
    assert (error["field"], error["line"]) == ("lora.target_modules", 4)
    right = 'lora.target_modules=["q_proj"]'
    assert main(["profile", "check", str(path), "--set", right, "--set", 'lora.modules_to_save=["nosuch"]']) == 2
    assert ": lora.modules_to_save: has nosuch, which the model" in capsys.readouterr().out
    assert main(["profile", "check", str(path), "--set", right]) == 0
    path.write_text(path.read_text().replace("demo:llama", "nobody/never-seen"))  # its names are not known
    assert main(["profile", "check", str(path)]) == 0


def test_the_demo_is_the_shipped_one(capsys: pytest.CaptureFixture[str]) -> None:
    locations.user_profiles().mkdir(parents=True, exist_ok=True)
    (locations.user_profiles() / "demo.toml").write_text('extends = "demo"\n')
    said = call(capsys, "demo", "--headless", "--set", "keeper.hours=25", exit_code=2)
    assert f"{locations.shipped_profiles() / 'demo.toml'} can't be used" in said
