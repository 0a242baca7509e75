"""Someone at a shell who uses one Hub: each command is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.hub.server import Hub

SECONDS = 600.0


@dataclass
class HubUser:
    """Someone at a shell, with a home of their own. No output may hold the token."""

    hub: Hub
    home: Path
    token: str
    program: tuple[str, ...] = ("-m", "codex_tui")  # what Python runs for a command

    def environment(self, **changes: str | None) -> dict[str, str]:
        ignored = ("HF_", "HUGGING", "XDG_", "DO_NOT_TRACK")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ignored)}
        ours = {
            "HOME": str(self.home),
            "CODEX_TUI_HOME": str(self.home / "codex"),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self.hub.url,
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        }
        return {name: value for name, value in {**kept, **ours, **changes}.items() if value is not None}

    def run_command(self, *arguments: str | Path, **environment: str | None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *self.program, *map(str, arguments)],
            env=self.environment(**environment),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        output = done.stdout + done.stderr
        assert self.token not in output
        assert "Traceback" not in output
        return done

    def run_json(self, *arguments: str | Path, **environment: str | None) -> Any:
        """Run a command with --json, and return what it prints."""
        done = self.run_command(*arguments, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def write_rows(self, name: str, rows: int, word: str = "answer") -> Path:
        path = self.home / name
        lines = [json.dumps({"instruction": f"question {n}", "response": f"{word} {n}"}) for n in range(rows)]
        path.write_text("\n".join(lines) + "\n")
        return path

    def files_with_token(self) -> list[Path]:
        """The files in this home that hold the token."""
        return [path for path in self.home.rglob("*") if path.is_file() and self.token.encode() in path.read_bytes()]
