"""What a profile, a name or a model from a stranger can't do: run anything, or reach out of its folder."""

from __future__ import annotations

import ast
import functools
import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.config_file import write_config

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.profiles.schema import read_schema
from training.contract.failures import TrainingFailure, classify
from training.contract.run_directory import RunDirectory
from training.job import model

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "/nowhere/python"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@functools.cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call in our code: where, what is called, and how."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), node)
        for folder in ("codex_tui", "training")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]


def options(call: ast.Call) -> dict[str | None, str]:
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


def test_code_of_a_model_is_never_run() -> None:
    loads = [(where, name, call) for where, name, call in calls() if name.endswith(".from_pretrained")]
    assert len(loads) >= 6
    for where, name, call in loads:
        if name != "PeftModel.from_pretrained":  # which takes no such thing
            assert options(call).get("trust_remote_code") == "False", where
        if "Model" in name and name != "PeftModel.from_pretrained":
            assert options(call).get("use_safetensors") == "True", where
    assert not [where for where, _, call in calls() if options(call).get("trust_remote_code", "False") != "False"]


def test_nothing_is_run_by_a_shell_and_no_text_as_code() -> None:
    forbidden = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "torch.load", "yaml.load"}
    assert not [where for where, name, _ in calls() if name in forbidden or name.endswith("create_subprocess_shell")]
    assert not [where for where, _, call in calls() if options(call).get("shell", "False") != "False"]


@pytest.mark.parametrize("table", ["", "model", "dataset", "training", "launch", "hardware"])
def test_no_profile_can_trust_code_or_name_a_program(
    home: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    profile = home / "shared.toml"
    for field in ("trust_remote_code", "python", "command"):
        told = {"model": {"name": '"x"'}}
        told.setdefault(table, {})[field] = "true"
        top = "".join(f"{key} = {value}\n" for key, value in told.pop("", {}).items())
        lines = [f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in told[name].items()) for name in told]
        profile.write_text(top + "".join(lines))
        assert main(["profile", "check", str(profile), "--json"]) == 2
        [wrong] = json.loads(capsys.readouterr().out)["errors"]
        assert wrong["message"].startswith("unknown field")


def test_no_text_of_a_profile_is_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every field that takes a text, with one that a shell would obey."""
    evil = f"x; $(touch {home}/ran) `touch {home}/ran` | touch {home}/ran {{{{ 7*7 }}}} !!python/object/apply:os.system"
    rows = home / "rows.jsonl"
    rows.write_text('{"instruction": "a", "response": "b"}\n')
    texts = [k for k in read_schema().values() if "string" in k.kinds and not k.choices and k.path not in ("extends",)]
    assert len(texts) > 5
    for schema in texts:
        profile = home / "evil.toml"
        table = f"[{schema.table}]\n" if schema.table else ""
        name = (
            "" if schema.path == "model.name" else "[model]\nname = 'demo:llama'\n" if schema.table != "model" else ""
        )
        line = f"{schema.name} = {json.dumps(evil)}\n"
        own = f"{table}{line}" + ("name = 'demo:llama'\n" if schema.table == "model" and schema.name != "name" else "")
        profile.write_text(own + name if not schema.table else name + own)
        for command in (["profile", "show"], ["profile", "check"], ["forecast"]):
            assert main([*command, str(profile)]) in (0, 1, 2)
        assert main(["train", str(profile), "--dataset", str(rows), "--python", NOWHERE, "--headless"]) in (2, 3)
    assert not (home / "ran").exists()


OUTSIDE = [
    "/etc/x",
    "..",
    "../up",
    "a/b",
    "a/../../b",
    "\0",
    "a\0b",
    "x" * 300,
    "~",
    ".hidden",
    "-x",
    "a b",
    "a\n",
    "ä",
    "",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_runs_name_stays_within_the_folder_of_runs(home: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["train", "demo", f"--name={name}", "--python", NOWHERE, "--headless"]) == 2
    assert "can't be a run's name" in capsys.readouterr().err
    (home / "up").mkdir()
    (home / "up" / "config.json").write_text("{}")
    inside = RunDirectory(locations.runs_home() / "inside")
    inside.create()
    write_config(inside, {})
    for command in (["attach", "--headless"], ["stop"], ["resume", "--headless"], ["chat", "--prompt=Hi"]):
        assert main([command[0], *command[1:], "--", name]) == 2
        assert "No run is called" in capsys.readouterr().err


def test_a_link_in_the_place_of_a_run_is_not_followed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locations.runs_home().mkdir(parents=True)
    (locations.runs_home() / "mine").symlink_to(home / "elsewhere")
    with pytest.raises(FileExistsError):
        RunDirectory(locations.runs_home() / "mine").create()
    assert not (home / "elsewhere").exists()


def test_an_adapter_that_can_carry_code_is_refused(home: Path) -> None:
    (home / "adapter_model.bin").write_bytes(b"pickle")
    (home / "adapter_config.json").write_text("{}")
    with pytest.raises(TrainingFailure, match="Other formats can carry code") as caught:
        model.load_for_chat("x", revision=None, load_in_4bit=False, dtype="float32", adapter=home)
    assert classify(caught.value).kind == "model_not_found"
    (home / "adapter_model.safetensors").touch()
    model.require_safetensors(home)


def test_a_token_in_an_exception_is_not_repeated() -> None:
    token = f"hf_{'a1' * 17}"
    told = (
        classify(ValueError(f"401 for https://user:{token}@host")),
        classify(TrainingFailure("unknown", token, token)),
    )
    assert token not in repr(told)


NEEDS_CI = pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="this copy has no .ci folder")


def pinned_names(path: Path) -> set[str]:
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert all("==" in line for line in lines)
    return {canonicalize_name(line.split("==")[0]) for line in lines}


def needed_by(requirement: Requirement) -> list[Requirement]:
    """What an installed distribution needs in turn; nothing is known of one that is not installed."""
    try:
        found = [Requirement(text) for text in requires(requirement.name) or []]
    except PackageNotFoundError:
        return []
    extras = ("", *requirement.extras)
    return [each for each in found if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in extras)]


@NEEDS_CI
def test_what_ci_installs_is_pinned() -> None:
    """pyproject.toml says what the project needs, with every extra, installed or not. What those need in turn is known
    of what is installed here; `.ci/run` compares the rest with the pins after each installation."""
    pinned = pinned_names(ROOT / ".ci" / "constraints.txt")
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = told["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {"test", "dev"}
    direct = [*told["build-system"]["requires"], *project["dependencies"], *chain.from_iterable(extras.values())]
    left, seen = [Requirement(text) for text in direct], set[tuple[str, frozenset[str]]]()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        assert name in pinned, name
        if (key := (name, frozenset(requirement.extras))) not in seen:
            seen.add(key)
            left += needed_by(requirement)
    assert {"textual", "pytest", "types-psutil", "hatchling", "rich", "iniconfig"} <= {name for name, _ in seen}


@NEEDS_CI
def test_the_gate_uses_the_pins() -> None:
    gate = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^export PIP_CONSTRAINT=.*/\.ci/constraints\.txt", gate, re.MULTILINE)
    assert gate.count("enter_new_environment ") == gate.count("\ncheck_pins\n") == 3


def test_the_training_environment_is_pinned() -> None:
    assert "torch" in pinned_names(ROOT / "codex_tui" / "environment" / "codex_train.txt")


@NEEDS_CI
def test_actions_are_pinned_by_their_commit() -> None:
    uses = [
        (path.name, line)
        for path in (ROOT / ".github").rglob("*.y*ml")
        for line in path.read_text().splitlines()
        if re.search(r"\buses:", line)
    ]
    assert uses
    for where, line in uses:
        assert re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d", line), f"{where}: {line}"
