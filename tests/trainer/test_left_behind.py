"""What a run leaves behind is its owner's alone, and nowhere in it is the person's token: every command's output, every
file and every process's title is looked through for a planted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.contract.run_directory import RunDirectory

SECRETS = {"HF_TOKEN": f"hf_{'PlantedInEnv' * 3}", "file": f"hf_{'PlantedInFile' * 3}"}


class Watched:
    """Runs commands in a home of its own, with two tokens set and the widest umask."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.home = folder / "home"
        (self.home / "config").mkdir(parents=True)
        (self.home / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(python))}\n")
        (folder / "token").write_text(SECRETS["file"])
        self.said: dict[str, str] = {}
        self.titles: set[str] = set()
        # Offline: what needs the Hub would wait for an answer
        self._env = {
            **os.environ, "CODEX_TUI_HOME": str(self.home), "HF_TOKEN": SECRETS["HF_TOKEN"], "HF_HUB_OFFLINE": "1",
            "HF_TOKEN_PATH": str(folder / "token"), "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        self._ended = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def run(self, *arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, "-m", "codex_tui", *arguments],
            env=self._env, cwd=self.home, capture_output=True, text=True, umask=0, timeout=200, check=False,
        )  # fmt: skip
        self.said[" ".join(arguments)] = done.stdout + done.stderr
        return done.returncode

    def close(self) -> None:
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            for title in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.titles.add(title.read_bytes().decode("utf-8", "replace"))
                except OSError:
                    continue


@pytest.fixture(scope="module")
def watched(trainer_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    found = Watched(tmp_path_factory.mktemp("left"), trainer_python)
    rows = found.home / "rows.jsonl"
    rows.write_text('{"instruction": "a", "response": "b"}\n' * 12)
    short = ["--set", "training.max_steps=2", "--set", "checkpoints.save_steps=1"]
    assert found.run("demo", "--headless", "--name", "good", *short) == 0, found.said
    assert found.run("train", "demo", "--headless", "--name", "bad", "--set", "model.name=/nowhere/model") == 1
    assert found.run("chat", "good", "--prompt", "Who are you?", "--max-new-tokens", "3") == 0
    assert found.run("data", "check", "rows.jsonl", "--profile", "demo") in (0, 2)
    for command in (["doctor", "--json"], ["setup", "--json"], ["runs", "--json"]):
        assert found.run(*command) in (0, 3)
    assert found.run("profile", "check", "demo", "--set", f"model.name={SECRETS['HF_TOKEN']}") == 2
    found.close()
    yield found


def test_all_of_it_is_the_owners_alone(watched: Watched) -> None:
    run = RunDirectory(watched.home / "data" / "runs" / "good")
    left = [run.path, *run.path.rglob("*"), *(watched.home / "data").rglob("*"), *(watched.home / "cache").rglob("*")]
    assert {"checkpoint-2", "adapter_model.safetensors", "events.jsonl", "exit.json"} <= {path.name for path in left}
    open_to_others = [path for path in left if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert open_to_others == []


@pytest.mark.parametrize("secret", SECRETS)
def test_the_token_is_nowhere(watched: Watched, secret: str) -> None:
    token = SECRETS[secret].encode()
    files = [path for path in watched.home.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert [path for path in files if token in path.read_bytes()] == []
    assert [command for command, said in watched.said.items() if token.decode() in said] == []
    ours = [title for title in watched.titles if "training" in title or "codex_tui" in title]
    assert any("chat" in title for title in ours)
    titles = [title for title in watched.titles if token.decode() in title]
    assert all("model.name=" in title for title in titles)  # what was typed is the person's own doing
