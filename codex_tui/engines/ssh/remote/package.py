"""This very app as files to send: its code, its profiles, and the versions of the packages that it needs."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import codex_tui
import training
from codex_tui.base import locations
from codex_tui.base.errors import CodexError


class Package(NamedTuple):
    """`files` by their names in the app's folder. `name` is the version with a hash of all of them."""

    name: str
    files: dict[str, Path | bytes]


@functools.cache
def make_package() -> Package:
    """Raises CodexError if this app was started without being installed."""
    folders = {
        "codex_tui": Path(codex_tui.__file__).parent,
        "training": Path(training.__file__).parent,
        "profiles": locations.shipped_profiles(),
    }
    files: dict[str, Path | bytes] = {}
    for name, folder in folders.items():
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{name}/{path.relative_to(folder).as_posix()}"] = path
    needed, pins = _list_requirements()
    files["requirements.txt"] = "".join(f"{line}\n" for line in needed).encode()
    files["constraints.txt"] = "".join(f"{line}\n" for line in pins).encode()
    digest = hashlib.sha256()
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        digest.update(f"{name}\n{len(data)}\n".encode() + data)
    return Package(f"{codex_tui.__version__}-{digest.hexdigest()[:12]}", files)


def _list_requirements() -> tuple[list[str], list[str]]:
    """Return what the app requires, and the installed version of everything that this requires in turn. Another Python
    over there may need fewer of these packages, so they only limit what its installer chooses."""
    from packaging.requirements import Requirement

    try:
        needed = [Requirement(text) for text in requires("codex-tui") or []]
    except PackageNotFoundError:
        raise CodexError(
            "This app is not installed, so its packages are unknown.", "Install it: python -m pip install -e FOLDER"
        ) from None
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    pins: dict[str, str] = {}
    waiting = list(needed)
    while waiting:
        one = waiting.pop()
        if one.name in pins:
            continue
        try:
            pins[one.name] = f"{one.name}=={version(one.name)}"
        except PackageNotFoundError:
            continue
        further = (Requirement(text) for text in requires(one.name) or [])
        extras = one.extras or {""}
        waiting += [
            below
            for below in further
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return [f"{one.name}{one.specifier}" for one in needed], sorted(pins.values())
