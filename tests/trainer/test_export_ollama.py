"""The export for Ollama of the demo, by the command, with the real llama.cpp."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.environment.llama_cpp import LlamaCpp
from training.contract.run_directory import RunDirectory


@pytest.fixture
def home(home: Path, llama_cpp: LlamaCpp) -> Path:
    """A home whose settings name the shared interpreter, with the shared llama.cpp."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CODEX_TUI_HOME")
        shared = locations.managed_llama_cpp()
    locations.managed_llama_cpp().parent.mkdir(parents=True)
    locations.managed_llama_cpp().symlink_to(shared)
    return home


def kill_while_it_converts(command: list[str], out: Path) -> None:
    """Kill an export when its converter has started, and wait until none of its processes is left."""
    with subprocess.Popen([sys.executable, "-m", "codex_tui", *command], stderr=subprocess.DEVNULL) as process:
        workers: list[psutil.Process] = []
        while not workers:
            assert process.poll() is None
            time.sleep(0.05)
            if (out / ".partial-gguf-f16").exists():
                workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_an_export_for_ollama_has_the_file_and_a_proven_template(
    llama_cpp: LlamaCpp,
    demo: RunDirectory,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    shutil.copytree(demo.path, home / "data" / "runs" / "taken")
    out = tmp_path / "out"
    command = ["export", "taken", "--to", "ollama", "--out", str(out)]
    kill_while_it_converts(command, out)
    assert not list(out.glob("*.gguf"))
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    proofs = {"proof-q4_k_m.json", "proof-q4_k_m.txt"}
    assert {path.name for path in out.iterdir()} == {
        "Modelfile",
        "README.md",
        "export.json",
        "taken-Q4_K_M.gguf",
        *proofs,
    }
    proof = told["steps"]["proof-q4_k_m"]
    assert (proof["of"], proof["source"], proof["questions"], proof["same_prompts"]) == ("Q4_K_M", "held-out", 30, 30)
    assert proof["problems"] == []
    assert proof["loss"]["exported"] == pytest.approx(proof["loss"]["run"], abs=0.1)
    facts = told["steps"]["modelfile"]
    assert (facts["template"], facts["compared_chats"], facts["stop"]) == (True, 6, ["<|eot_id|>"])
    assert told["ollama"]["created"]
    assert (tmp_path / "called").read_text().strip() == f"create taken -f {out}/Modelfile"
    assert (out / "Modelfile").read_text().startswith("FROM ./taken-Q4_K_M.gguf\nTEMPLATE")
