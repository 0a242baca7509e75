"""Tables inside of tables: [launch.slurm] and [launch.ssh] are read, written, checked and explained like all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.overrides import parse_overrides
from codex_tui.profiles.resolve import load_profile, resolve
from codex_tui.profiles.schema import read_schema, read_tables
from training.contract.config import INNER_TABLES, list_tables

MODEL = '[model]\nname = "demo:llama"\n'
COMMENT = "\n".join(read_schema()["launch.slurm.partition"].comment)


def test_the_settings_of_engines_are_the_only_tables_inside_of_tables() -> None:
    assert {table for table in read_tables() if "." in table} == INNER_TABLES
    assert all(field.table in ("", *read_tables()) for field in read_schema().values())


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (MODEL, f'{MODEL}\n[launch.slurm]\n{COMMENT}\npartition = "gpu"\n'),
        (f"{MODEL}[launch.slurm]\ncpus = 4\n", f'{MODEL}[launch.slurm]\n{COMMENT}\npartition = "gpu"\ncpus = 4\n'),
        (
            f'{MODEL}[launch.slurm]\n# partition = "a"\n',
            f'{MODEL}[launch.slurm]\n# partition = "a"\npartition = "gpu"\n',
        ),
        (
            f"{MODEL}[launch]\nslurm.cpus = 4\nnodes = 1\n",
            f'{MODEL}[launch]\nslurm.cpus = 4\n{COMMENT}\nslurm.partition = "gpu"\nnodes = 1\n',
        ),
        (
            f"{MODEL}[launch]\nslurm = {{ cpus = 4 }}\n",
            f'{MODEL}[launch]\nslurm = {{ cpus = 4, partition = "gpu" }}\n',
        ),
        (f'{MODEL}[launch]\nslurm.partition = "a"\n', f'{MODEL}[launch]\nslurm.partition = "gpu"\n'),
    ],
)
def test_the_editor_sets_a_value_wherever_the_table_is_written(text: str, changed: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    draft = Draft.open(path)
    draft.set("launch.slurm.partition", '"gpu"')
    assert draft.text == changed
    assert draft.resolved.profile is not None and draft.resolved.profile.launch.slurm.partition == "gpu"
    assert "launch.slurm.partition" in draft.own and draft.changed == {"launch.slurm.partition"}
    draft.set("launch.slurm.partition", None)
    assert "launch.slurm.partition" not in draft.own and draft.resolved.profile.launch.slurm.time == "04:00:00"


@pytest.mark.parametrize(
    ("lines", "field", "line", "words"),
    [
        ('[launch.slurm]\npartitoin = "gpu"', "launch.slurm.partitoin", 4, "did you mean partition?"),
        ('[launch]\npartition = "gpu"', "launch.partition", 4, "it belongs in [launch.slurm]"),
        ("[launch.slrum]\ncpus = 4", "launch.slrum", 3, "did you mean slurm?"),
        ('[launch]\nslurm = "gpu"', "launch.slurm", 4, "should be a table: write [launch.slurm]"),
        ("[slurm]\ncpus = 4", "slurm", 3, "did you mean [launch.slurm]?"),
        ('["launch.slurm"]\ncpus = 4', "launch.slurm", 3, "unknown field"),
        ('[launch.slurm]\ncpus = "4"', "launch.slurm.cpus", 4, "should be a whole number"),
        ('[launch]\nengine = "ssh"', "launch.ssh.remote", None, "needs the name of a machine"),
        ("[launch]\nnodes = 2", "launch.nodes", 4, 'need engine = "slurm"'),
    ],
)
def test_a_mistake_is_named_with_its_line(lines: str, field: str, line: int | None, words: str, tmp_path: Path) -> None:
    [problem] = resolve(f"{MODEL}{lines}\n", tmp_path / "mine.toml").problems
    assert (problem.field, problem.line) == (field, line)
    assert words in problem.message


@pytest.mark.parametrize(
    "value",
    ['"gpu\\nmore"', '"--wrap=rm"', '"gpu; rm -rf /"', '"$(id)"', '"a b"', '"`id`"', '""', '"ü"', '"a\\u2028b"'],
)
@pytest.mark.parametrize(
    "field",
    ["slurm.partition", "slurm.time", "slurm.gres", "slurm.memory", "slurm.account", "slurm.qos", "ssh.remote"],
)
def test_no_value_can_be_an_option_or_a_command(field: str, value: str) -> None:
    with pytest.raises(BadInput, match=f"--set launch.{field}: should be "):
        parse_overrides([f"launch.{field}={value}"])


def test_a_parent_and_the_command_line_set_single_fields(tmp_path: Path) -> None:
    (tmp_path / "parent.toml").write_text(f'{MODEL}[launch.slurm]\npartition = "gpu"\ntime = "2-00"\n')
    child = tmp_path / "child.toml"
    child.write_text('extends = "./parent.toml"\n[launch]\nengine = "slurm"\nslurm.time = "90"\n')
    slurm = load_profile(child, parse_overrides(["launch.slurm.cpus=8", "launch.nodes=2"])).launch.slurm
    assert (slurm.partition, slurm.time, slurm.cpus) == ("gpu", "90", 8)


def test_all_ranks_share_the_rows_of_a_step(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{MODEL}[training]\ngradient_accumulation_steps = 8\n")
    many = {"launch.engine": "slurm", "launch.nodes": 2, "launch.processes": 2}
    profile = load_profile(path, many)
    assert (profile.processes, profile.ranks, profile.process_accumulation_steps) == (2, 4, 2)
    [problem] = resolve(path.read_text(), path, many | {"launch.nodes": 3}).problems
    assert problem.message.startswith("8 can't be divided by the 6 processes; use 12")


def test_one_value_is_replaced_and_the_tables_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MODEL)
    profile = load_profile(path).with_value("launch.slurm.cpus", 2).with_value("launch.slurm.qos", "high")
    assert (profile.launch.slurm.cpus, profile.launch.slurm.qos, profile.launch.ssh.remote) == (2, "high", None)
    tables = dict(list_tables(profile.model_dump(mode="json")))
    assert list(tables) == list(read_tables())
    assert tables["launch.slurm"]["cpus"] == 2 and "slurm" not in tables["launch"]


def test_show_and_explain_print_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    assert main(["profile", "show", "demo", "--set", "launch.slurm.cpus=2"]) == 0
    path = tmp_path / "whole.toml"
    path.write_text(capsys.readouterr().out)
    assert "[launch.slurm]\n" in path.read_text()
    assert load_profile(path).launch.slurm.cpus == 2
    assert main(["profile", "explain", "partition"]) == 0
    assert '  [launch.slurm]\n  partition = "gpu"' in capsys.readouterr().out
