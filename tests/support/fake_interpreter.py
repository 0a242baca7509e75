"""A stand-in for the training environment: an interpreter that has every package and trains in no time."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

_SCRIPT = """\
#!{python}
import json, sys

if sys.argv[1] == "-c":  # asked what it has installed
    names = json.load(sys.stdin)
    print(json.dumps({{"python": "3.11.0", "cuda": None, "packages": dict.fromkeys(names, "1.0")}}))
    sys.exit()
assert sys.argv[1:3] == ["-m", "training"], sys.argv
arguments = sys.argv[3:]

{body}
"""


def fake_interpreter(folder: Path, body: str) -> Path:
    """An executable that runs `body` in place of `python -m training *arguments`; the contract can be imported."""
    python = folder / "python"
    python.write_text(_SCRIPT.format(python=sys.executable, body=textwrap.dedent(body)), encoding="utf-8")
    python.chmod(0o700)
    return python
