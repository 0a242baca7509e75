"""`codex-tui export` on the demo: the real worker, a kill in the middle, a full disk, and the proof."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config
from support.disks import fill, mounted
from support.training_runs import Trainer

from codex_tui.base.progress import ignore_progress
from codex_tui.cli import main
from codex_tui.export import merge as merge_step
from codex_tui.export.plan import ExportPlan, make_plan
from codex_tui.export.proof import NAME
from codex_tui.export.proof_report import Comparison, ProofReport, make_report
from codex_tui.export.worker_talk import ExportTalk
from codex_tui.judge.judging import answer_with_adapter
from codex_tui.judge.plan import JudgePlan
from training.contract.judgement import Book
from training.contract.run_directory import RunDirectory

WAIT_SECONDS = 300.0


@pytest.fixture(scope="module")
def run(trainer: Trainer, demo: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDirectory]:
    """A copy of the demo in a home of its own, since an export writes into the run."""
    home = tmp_path_factory.mktemp("export")
    (home / "config").mkdir()
    (home / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(trainer.python))}\n")
    shutil.copytree(demo.path, home / "data" / "runs" / "demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEX_TUI_HOME", str(home))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield RunDirectory(home / "data" / "runs" / "demo")


@pytest.fixture(autouse=True)
def home(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(run.path.parents[2]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def read_dtype(run: RunDirectory) -> str:
    """The type that the demo trained in: bfloat16 on a CPU that has it."""
    dtype: str = read_config(run)["actual"]["model"]["dtype"]
    return dtype


def list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def merged(run: RunDirectory) -> Path:
    """The merged demo. Its export is killed while it merges, and then given again."""
    out = run.exports / "merged"
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_tui", "export", "demo", "--to", "merged"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + WAIT_SECONDS
    while not list(out.glob(".partial-merge/*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list_names(out) <= {".partial-merge"}
    assert main(["export", "demo", "--to", "merged"]) == 0
    return out


def test_a_killed_export_is_finished_by_the_same_command(
    merged: Path, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_names(merged) == {
        "README.md", "chat_template.jinja", "config.json", "export.json", "generation_config.json", "model.safetensors",
        "proof.json", "proof.txt", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    before = {path.name: path.stat().st_mtime_ns for path in merged.iterdir()}
    capsys.readouterr()
    assert main(["export", "demo", "--to", "merged", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {path.name: path.stat().st_mtime_ns for path in merged.iterdir()} == before
    assert (told["run"], told["to"], told["folder"]) == ("demo", "merged", str(merged))
    assert set(told["files"]) == set(before) - {"export.json"}
    assert told["steps"]["merge"]["choice"] == "trained"
    assert told["steps"]["merge"]["dtype"] == read_dtype(run)
    config = json.loads((merged / "config.json").read_text())
    assert config["torch_dtype"] == read_dtype(run)
    assert "quantization_config" not in config
    assert json.loads((merged / "generation_config.json").read_text())["eos_token_id"] == config["eos_token_id"]
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (merged / name).read_bytes() == (run.adapter / name).read_bytes()


def test_the_adapter_has_a_card(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "demo", "--to", "adapter"]) == 0
    assert "demo as adapter: 6 files" in capsys.readouterr().out
    out = run.exports / "adapter"
    for name in ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (run.adapter / name).read_bytes()
    card = (out / "README.md").read_text()
    assert "A LoRA adapter for `demo:llama`" in card
    assert 'AutoPeftModelForCausalLM.from_pretrained(".", device_map="auto")' in card


def test_the_proof_holds(merged: Path, run: RunDirectory) -> None:
    proof: dict[str, Any] = json.loads((merged / "proof.json").read_text())
    assert proof["problems"] == []
    assert (proof["source"], proof["questions"], proof["of"]) == ("held-out", 30, read_dtype(run))
    assert proof["same_prompts"] == proof["as_trained"] == 30
    assert proof["ended"]["exported"] >= proof["ended"]["run"] - 1
    assert proof["identical"] >= 20  # the demo has not learned these; rounding decides where it hesitates
    assert proof["loss"]["exported"] == pytest.approx(proof["loss"]["run"], abs=0.02)
    assert proof["chrf"]["exported"] == pytest.approx(proof["chrf"]["run"], abs=5)
    text = (merged / "proof.txt").read_text().splitlines()
    assert text[0].startswith(f"{proof['identical']} of 30 answers identical at {read_dtype(run)}, loss per token ")
    card = (merged / "README.md").read_text()
    assert f"- {text[0]}\n" in card
    assert "| base weights | the 4-bit weights that the adapter was trained on, unpacked |" in card
    assert text[1] == "Asked: 30 held-out questions, the likeliest answer to each."


def test_a_wrong_template_and_a_missing_end_token_are_caught(merged: Path, run: RunDirectory, tmp_path: Path) -> None:
    wrong, endless, other = (Path(shutil.copytree(merged, tmp_path / name)) for name in ("wrong", "endless", "other"))
    template = wrong / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant<|end_header_id|>\n\n", "assistant<|end_header_id|>\n"))
    for name in ("config.json", "generation_config.json"):
        values = json.loads((endless / name).read_text())
        del values["eos_token_id"]
        (endless / name).write_text(json.dumps(values))
    weights = bytearray((other / "model.safetensors").read_bytes())
    start = 8 + int.from_bytes(weights[:8], "little")
    weights[start : start + 400_000] = bytes(400_000)
    (other / "model.safetensors").write_bytes(weights)
    plan = make_plan(run, "merged")
    kept, problems = {}, {}
    for name, report in asyncio.run(prove_each(plan, [merged, wrong, endless, other])).items():
        problems[name], kept[name] = report.problems, report
    assert problems["merged"] == []
    assert problems["wrong"][0] == (
        "30 of 30 prompts differ from those of the run: the exported model has another chat template or another "
        "tokenizer."
    )
    assert kept["wrong"].same_prompts == 0
    assert len(problems["endless"]) == 1
    assert problems["endless"][0].endswith(" that end in the run do not end: the exported model may lack an end token.")
    assert kept["endless"].ended.exported == 0
    assert any("these are not the weights of the run" in problem for problem in problems["other"])
    assert kept["other"].same_prompts == 30


async def prove_each(plan: ExportPlan, folders: list[Path]) -> dict[str, ProofReport]:
    """The report of each merged model. One worker asks all of them."""
    reports = {}
    async with ExportTalk.start(plan.run, ignore_progress) as talk:
        listed = await talk.list_questions(None, 30)
        questions = [one.question for one in listed.questions]
        judge_plan = JudgePlan(plan.side, None, Book(name=NAME), questions, 80, NAME)
        answers = await answer_with_adapter(judge_plan, questions, ignore_progress)
        for folder in folders:
            exported = await talk.ask_merged(folder, listed.questions, 80)
            pairs = [
                Comparison(question, *answer, other)
                for question, answer, other in zip(listed.questions, answers, exported, strict=True)
            ]
            reports[folder.name] = make_report("demo", "bfloat16", listed.source, 80, pairs)
    return reports


def test_a_full_disk_loses_nothing(
    merged: Path, run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "disk", "size=3m") as disk:
        command = ["export", "demo", "--to", "merged", "--no-proof", "--out", str(disk / "model")]
        assert main(command) == 1
        told = capsys.readouterr().err
        place = re.escape(str(disk / "model"))
        assert re.search(rf"The export needs (3\d\.\d MB) in {place} \(merge \1\), and 3\.1 MB is free\.", told)
        assert "or use a folder on another disk: --out FOLDER" in told
        assert not list_names(disk / "model")
        monkeypatch.setattr(merge_step, "SMALL_FILES_BYTES", 0)
        weights = (merged / "model.safetensors").stat().st_size
        filler = fill(disk, but=weights + 20_000)  # too little for the weights with the tokenizer
        assert main(command) == 1
        told = capsys.readouterr().err
        assert "model.safetensors" in told
        assert os.strerror(28) in told or "The disk is full" in told
        assert not list_names(disk / "model")
        filler.unlink()
        assert main(command) == 0
        assert (disk / "model" / "model.safetensors").read_bytes() == (merged / "model.safetensors").read_bytes()
