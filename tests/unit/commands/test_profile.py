"""profile check, show, explain, schema and --set, as a person or a script calls them."""

import json
import os
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.profiles.schema import read_schema
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


def told(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> str:
    assert main([*arguments]) == exit_code
    out, err = capsys.readouterr()
    return out + err


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
        said = told(capsys, "profile", "check", str(path), exit_code=2)
        if "[lora\n" not in text:
            assert "a token does not belong in a profile" in said, (number, said)
            assert "HF_TOKEN" in said and "hf auth login" in said
        said += told(capsys, "profile", "check", str(path), "--json", exit_code=2)
        said += told(capsys, "profile", "show", str(path), exit_code=2)
        said += told(capsys, "profile", "show", str(path), "--json", exit_code=2)
        said += told(capsys, "train", str(path), exit_code=2)
        said += told(capsys, "profile", "list")
        if "u005f" not in text:
            assert TOKEN not in said and TOKEN[3:] not in said and "sesame123" not in said, (number, said)
    in_list = f'lora.target_modules=["{TOKEN}"]'
    for option in (f"model.name={TOKEN}", f"model.{TOKEN}=1", TOKEN, "wandb.api_key=sesame123", in_list):
        said = told(capsys, "profile", "check", "demo", "--set", option, exit_code=2)
        assert TOKEN not in said and "sesame123" not in said
    for command in (["explain", TOKEN], ["show", TOKEN], ["show", f"./{TOKEN}"]):
        assert TOKEN not in told(capsys, "profile", *command, exit_code=2)


def test_explain_has_all_of_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    for path, schema in read_schema().items():
        said = told(capsys, "profile", "explain", path)
        assert " ".join(schema.text.split()) in " ".join(said.split())
        assert schema.type in said and schema.unit in said and all(limit in said for limit in schema.limits)
        tomllib.loads(said[said.rindex("default") :].partition("\n\n")[2])  # its example, as it would be written
    assert "model.max_seq_length" in told(capsys, "profile", "explain", "max_seq_length")
    assert json.loads(told(capsys, "profile", "explain", "lora.r", "--json"))["limits"] == [
        "at least 1",
        "at most 1,024",
    ]


def test_explain_without_a_field_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "profile", "explain").splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [
        schema.name for schema in read_schema().values()
    ]
    assert max(map(len, lines)) <= 120
    assert [schema["path"] for schema in json.loads(told(capsys, "profile", "explain", "--json"))] == [*read_schema()]


def test_explain_suggests_the_near_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean lora.r?" in told(capsys, "profile", "explain", "lora.rr", exit_code=2)
    assert "Did you mean training.learning_rate?" in told(capsys, "profile", "explain", "learnign_rate", exit_code=2)
    assert "model.name, launch.name" in told(capsys, "profile", "explain", "name", exit_code=2)
    assert "profile explain" in told(capsys, "profile", "explain", "\x1b]0;zzz", exit_code=2)


def test_the_schema_is_one_and_knows_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(told(capsys, "profile", "schema"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    found = set()

    def walk(node: Any, table: str) -> None:
        for name, field in node["properties"].items():
            if "$ref" in field:
                walk(schema["$defs"][field["$ref"].removeprefix("#/$defs/")], f"{table}.{name}" if table else name)
                continue
            path = f"{table}.{name}" if table else name
            found.add(path)
            assert field["description"] == read_schema()[path].text
            assert {"type", "anyOf", "enum", "const"} & {*field}
        assert node["type"] == "object" and node["additionalProperties"] is False and "required" not in node

    walk(schema, "")
    assert found == {*read_schema()}


def test_show_says_what_is_extended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "mine.toml"
    path.write_text('extends = "demo"\n# my rank\n[lora]\nr = 8\n')
    said = told(capsys, "profile", "show", str(path))
    parent = locations.shipped_profiles() / "demo.toml"
    assert said == f"# Fields that are not set here take their values from {parent}\n{path.read_text()}"
    whole = json.loads(told(capsys, "profile", "show", str(path), "--json"))
    assert (whole["lora"]["r"], whole["lora"]["lora_alpha"], whole["model"]["name"]) == (8, 32, "demo:llama")
    assert (whole["extends"], whole["title"]) == ("demo", "")
    whole = tomllib.loads(told(capsys, "profile", "show", str(path), "--set", "lora.r=4"))
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
        said = told(capsys, *command, name, exit_code=2)
        assert "profile" in said and len(said) < 500


def test_list_says_what_a_profile_without_title_extends(capsys: pytest.CaptureFixture[str]) -> None:
    locations.user_profiles().mkdir(parents=True)
    (locations.user_profiles() / "mine.toml").write_text('extends = "demo"\n')
    assert "mine            yours    extends demo\n" in told(capsys, "profile", "list")


def test_set_takes_toml_and_bare_words(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(home)
    options = {
        "lora.r=8": 8,
        "training.learning_rate=1e-4": 1e-4,
        "model.dtype=float16": "float16",
        'model.name="a/b"': "a/b",
        "model.revision=2024": "2024",
        "training.gradient_checkpointing=true": True,
        'lora.target_modules=["q_proj"]': ["q_proj"],
        "dataset.system_prompt=Be brief = good": "Be brief = good",
        "dataset.path=rows.jsonl": str(home / "rows.jsonl"),
        "hardware.device=cpu": "cpu",
        "dataset.system_prompt=": "",
    }
    for option, value in options.items():
        whole = json.loads(told(capsys, "profile", "show", "demo", "--json", "--set", "lora.r=3", "--set", option))
        table, _, name = option.partition("=")[0].partition(".")
        assert whole[table][name] == value
        assert option == "lora.r=8" or whole["lora"]["r"] == 3


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("lora.r", "--set lora.r: has no value"),
        ("lora=8", "--set lora: is a table; set one of its fields, such as lora.r=16.\n"),
        ("lora={r=8}", "--set lora: is a table; set one of its fields"),
        ("lora.target=8", "did you mean target_modules?\n"),
        ("model.name=\udcff", "--set model.name: should be text in UTF-8.\n"),
        ("model.revision=\udcff", "--set model.revision: should be text in UTF-8.\n"),
        ('lora.target_modules=["\udcff"]', "--set lora.target_modules: should be text in UTF-8.\n"),
        ("lora.r=", "--set lora.r: should be a whole number"),
        ("lora.r='8'", "not text in quotes (given: '8')"),
        ("lora.r=0", "at least 1, at most 1,024 (given: 0)"),
        ("lora.rank=8", "--set lora.rank: unknown field"),
        ("r=8", "--set r: unknown field; it belongs in [lora]"),
        ("lora.learning_rate=1", "it belongs in [training]"),
        ("training.optim=adamw8bit", 'did you mean "adamw_8bit"?'),
        ("extends=demo", "--set extends: belongs to the file itself"),
        ("=", "--set : unknown field"),
        ("lora.r=8\nlora_alpha=3", "should be a whole number"),
        ("training.seed=" + "9" * 5000, "should be a whole number"),
    ],
)
def test_a_wrong_set_names_the_option(option: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["profile", "check", "demo"], ["profile", "show", "demo"], ["train", "demo"], ["demo"]):
        said = told(capsys, *command, "--set", option, exit_code=2)
        assert words in said
        assert "codex-tui profile explain" in said
    assert not locations.data_home().exists()


def test_set_is_checked_with_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "profile", "check", "demo", "--set", "model.dtype=float32", exit_code=2)
    assert "model.dtype: float32 is not possible with load_in_4bit = true" in said
    assert told(capsys, "profile", "check", "demo", "--set", "lora.r=8").startswith("✓ ")


def test_what_is_no_file_is_listed_as_that_and_never_waited_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = locations.user_profiles()
    folder.mkdir(parents=True)
    os.mkfifo(folder / "fifo.toml")
    (folder / "zero.toml").symlink_to("/dev/zero")
    (folder / "folder.toml").mkdir()
    listed = json.loads(told(capsys, "profile", "list", "--json"))
    assert [entry["name"] for entry in listed if not entry["ok"]] == ["fifo", "folder", "zero"]
    (folder / "loop.toml").symlink_to("loop.toml")
    for name, what in (("fifo", "not a file"), ("zero", "not a file"), ("loop", "a link that leads nowhere"),
                       ("folder", "a folder, not a profile file"), ("none", "no such profile file")):  # fmt: skip
        path = folder / f"{name}.toml"
        assert f"{path}: {what}." in told(capsys, "profile", "check", str(path), exit_code=2)


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
    said = told(capsys, "demo", "--headless", "--set", "keeper.hours=25", exit_code=2)
    assert f"{locations.shipped_profiles() / 'demo.toml'} can't be used" in said


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("rank", "These fields are about it: lora.r"),
        ("lora", "Name one of its fields: lora.r, lora.lora_alpha"),
        ("lora.rr", "Did you mean lora.r?"),
        ("flamethrower", "List them: codex-tui profile explain"),
        ("((", "List them: codex-tui profile explain"),
    ],
)
def test_explain_knows_the_words_of_the_field_and_the_tables(
    word: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hint in told(capsys, "profile", "explain", word, exit_code=2)
