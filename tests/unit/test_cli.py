"""The commands that need no trainer, as a person or a script calls them."""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import as_json, make_run

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.commands.parser import make_parser
from training.contract import events as ev

pytestmark = pytest.mark.usefixtures("empty_home")


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (
        (["--help"], "Exit codes"),
        (["train", "--help"], "--dataset"),
        (["--version"], "codex-tui "),
        (["-V"], "codex-tui "),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert word in capsys.readouterr().out


def test_the_help_of_each_command_describes_it(capsys: pytest.CaptureFixture[str]) -> None:
    from codex_tui.commands.parser import _list_commands

    [group] = [action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    commands = [*_list_commands(group)]
    assert "runs rename" in commands
    undescribed = []
    for command in commands:
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        _, paragraph, *_ = capsys.readouterr().out.split("\n\n")  # after the usage
        if not paragraph[0].isupper():  # "options:"
            undescribed.append(command)
    assert undescribed == []


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["stop"], ["profile"], ["runs", "--no-such"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "there is no command 'trian'; did you mean train?"),
        (["data", "chek"], "there is no command 'chek'; did you mean check?"),
        (["view", "x.jsonl"], "there is no command 'view'; did you mean data view?"),
        (["zzz"], "there is no command 'zzz'"),
        (["train", "demo", "--heedless"], "unrecognized arguments: --heedless; did you mean --headless?"),
        (["train", "demo", "--nmae=a"], "unrecognized arguments: --nmae=a; did you mean --name?"),
        (["--verison"], "did you mean --version?"),
    ],
)
def test_a_mistyped_command_or_option_is_suggested(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "rtx3050-4bg"], "Did you mean rtx3050-4gb?"),
        (["profile", "show", "rtx3050-4gb.tmol/"], "no such profile file"),
        (["profile", "explain", "lora.lora_alhpa"], "Did you mean lora.lora_alpha?"),
        (
            ["profile", "show", "demo", "--set", "lora.lora_alhpa=1"],
            "--set lora.lora_alhpa: unknown field; did you mean lora_alpha?",
        ),
        (["profile", "show", "demo", "--set", "loar.r=1"], "--set loar.r: unknown field; it belongs in [lora]"),
        (["profile", "show", "demo", "--set", "loar.lora_alhpa=1"], "did you mean lora_alpha in [lora]?"),
        (["chat", "zmobies-1"], "Did you mean zombies-1?"),
        (["runs", "rm", "zmobies-1", "--yes"], "Did you mean zombies-1?"),
    ],
)
def test_a_mistyped_name_is_suggested(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_run("zombies-1", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("group", "commands"), [("data", ("check", "push")), ("profile", ("list", "schema"))])
def test_a_bare_group_prints_its_help(
    group: str, commands: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([group])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(f"\n    {command} " in told for command in commands)
    assert "required" not in told


def test_chat_refuses_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n")))
    for arguments, word in (
        (["--prompt", " "], "prompt is empty"),
        (["--prompt", os.fsdecode(b"\xff")], "not UTF-8"),
        (["--prompt", "-"], "not UTF-8"),
        (["--prompt", "Who?", "--max-new-tokens", "0"], "at least 1"),
        (["--prompt", "Who?", "--temperature", "warm"], "--temperature warm: give a number from 0"),
        (["--prompt", "Who?", "--top-p", "1.5"], "--top-p 1.5: give a number above 0"),
        (["--prompt", "Who?", "--seed", "-1"], "--seed -1: give a whole number"),
        (["--seed", "1"], "only with --prompt"),
        (["--system", "Be brief."], "only with --prompt"),
        (["--prompt", "Who?"], "no adapter and no whole checkpoint"),
        (["--base"], "--prompt TEXT"),
        ([], "--prompt TEXT"),
    ):
        assert main(["chat", "a", *arguments]) == 2, arguments
        assert word in capsys.readouterr().err


def test_a_chat_says_at_once_which_checkpoint_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1))
    write_checkpoint(run.checkpoints, 200)

    async def ask(*_: object, **__: object) -> int:
        return 0

    monkeypatch.setattr("codex_tui.commands.chat._ask", ask)
    assert main(["chat", "a", "--prompt", "Who?"]) == 0
    assert capsys.readouterr() == ("", "Checkpoint 200 answers, because the run has saved no adapter yet.\n")
    assert main(["chat", "a", "--prompt", "Who?", "--base"]) == 0
    assert capsys.readouterr() == ("", "")


def test_an_unknown_home_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", "~nobody-of-that-name/x")
    assert main(["runs"]) == 0
    assert "No runs yet" in capsys.readouterr().out


def test_a_file_that_can_not_be_read_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "/proc/self/mem"]) == 1
    assert capsys.readouterr().err == "codex-tui: Input/output error.\n"


def test_what_a_command_makes_is_its_owners_alone(empty_home: Path) -> None:
    assert main(["profile", "list"]) == 0
    (empty_home / "made").touch()
    assert (empty_home / "made").stat().st_mode & 0o077 == 0


def test_profile_check(empty_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = empty_home / "bad.toml"
    file.write_text('[model]\nname = "x"\nmax_seq_lenght = 1\n')
    assert main(["profile", "check", str(file), "--json"]) == 2
    told = as_json(capsys)
    assert set(told) == {"ok", "errors", "warnings"}
    assert told["ok"] is False
    assert told["errors"] == [
        {"field": "model.max_seq_lenght", "line": 3, "message": "unknown field; did you mean max_seq_length?"}
    ]
    assert main(["profile", "check", "demo", "--json"]) == 0
    assert as_json(capsys)["errors"] == []
    assert main(["profile", "check", "no-such"]) == 2
    assert "rtx3050-4gb" in capsys.readouterr().err


def test_profile_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "list"]) == 0
    assert "rtx3050-4gb" in capsys.readouterr().out
    assert main(["profile", "show", "rtx3050-4gb", "--json"]) == 0
    assert as_json(capsys)["model"]["max_seq_length"] == 2048


def test_train_refuses_before_anything_is_set_up(empty_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = empty_home / "rows.jsonl"
    rows.write_text("".join('{"instruction": 1}\n' for _ in range(12)))
    nothing = empty_home / "nothing"
    nothing.mkdir()
    for arguments, word in (
        (["train", "rtx3050-4gb", "--headless"], "--dataset FILE"),
        (["train", "rtx3050-4gb", "--dataset", "none.jsonl"], "no such dataset file"),
        (["train", "demo", "--dataset", ""], "not a file"),
        (["train", "demo", "--dataset", "~nobody-of-that-name/rows.jsonl"], "no such dataset file"),
        (["train", "demo", "--dataset", "/proc/self/mem"], "/proc/self/mem can't be read: "),
        (["train", "demo", "--name", "../up", "--python", "/none"], "can't be a run's name"),
        (["data", "check", str(nothing)], "contains no data file"),
        (["data", "check", "~nobody-of-that-name/rows.jsonl"], "no such dataset file"),
        (["data", "check", "/proc/self/mem"], "/proc/self/mem can't be read: "),
        (["train", "rtx3050-4gb", "--dataset", str(rows)], "line 10: "),
        (["train", "no-such"], "No profile is called 'no-such'"),
    ):
        assert main(arguments) == 2
        assert word in capsys.readouterr().err
    assert not locations.data_home().exists()


def test_the_app_says_that_it_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_an_output_of_another_encoding_gets_what_it_can_show(tmp_path: Path) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    done = subprocess.run(
        [sys.executable, "-m", "codex_tui", "runs"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert " ? " in done.stdout  # for –


def list_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    [groups] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups.choices)


def test_the_parser_of_one_command_is_that_of_all_and_knows_no_other() -> None:
    for name, parser in list_parsers(make_parser()).items():
        alone = list_parsers(make_parser(name))
        assert alone[name].format_help() == parser.format_help()
        assert len(alone) < 6
    assert list_parsers(make_parser("nothing")).keys() == list_parsers(make_parser()).keys()
