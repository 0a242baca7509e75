"""Wheels as small as they can be, for a registry that the test makes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codex_tui.environment import stack
from codex_tui.machine import gpu


def make_wheel(folder: Path, name: str, version: str, requires: str = "", files: dict[str, str] | None = None) -> None:
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    contents = {f"{name}/__init__.py": "", **(files or {})} | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**contents, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


@contextmanager
def only_these_wheels(wheels: Path, pins: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Build the environment of `home` from the text of a list of pins and the folder `wheels`, on a machine without a
    GPU."""
    listed = wheels.parent / "list.txt"
    listed.write_text(pins)
    monkeypatch.setattr(stack, "PINS_FILE", listed)
    stack.load_pins.cache_clear()
    monkeypatch.setenv("CODEX_TUI_HOME", str(home))
    monkeypatch.setenv("UV_CACHE_DIR", str(wheels.parent / "uv"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setattr(gpu, "nvidia_present", lambda: False)
    yield home
    stack.load_pins.cache_clear()
