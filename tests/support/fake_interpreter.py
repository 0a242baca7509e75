"""A stand-in for the training environment: an interpreter that has every package and trains in no time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from codex_tui.base import locations
from support.programs import PROGRAMS

_SCRIPT = """\
#!{python}
import json, runpy, sys

if sys.argv[1] == "-c":  # asked what it has installed
    names = json.load(sys.stdin)
    print(json.dumps({{"python": "{version}", "cuda": None, "packages": dict.fromkeys(names, "1.0")}}))
    sys.exit()
assert sys.argv[1:3] == ["-m", "training"], sys.argv
{body}
"""


def fake_interpreter(folder: Path, program: str, *options: str, version: str = "3.11.0") -> Path:
    """An executable that runs a script of support/programs, `program.py *options *arguments`, in place of
    `python -m training *arguments`. The script can import `training`."""
    path = str(PROGRAMS / f"{program}.py")
    return _write(
        folder, f"sys.argv[:3] = {[path, *options]!r}\nrunpy.run_path({path!r}, run_name='__main__')", version
    )


def refusing_interpreter(folder: Path) -> Path:
    """An executable that must not be asked to train."""
    return _write(folder, "sys.exit('This interpreter should not have been started.')")


def idle_interpreter(folder: Path, seconds: float = 0.0) -> Path:
    """An executable that does nothing for `seconds` in place of the training, and ends."""
    return _write(folder, f"import time; time.sleep({seconds})")


def name_in_settings(python: Path) -> None:
    """Write settings that name `python`, as a person does."""
    locations.settings_file().parent.mkdir(parents=True, exist_ok=True)
    locations.settings_file().write_text(f"[trainer]\npython = {json.dumps(str(python))}\n")


def _write(folder: Path, body: str, version: str = "3.11.0") -> Path:
    python = folder / "python"
    python.write_text(_SCRIPT.format(python=sys.executable, body=body, version=version), encoding="utf-8")
    python.chmod(0o700)
    return python
