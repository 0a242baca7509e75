"""Finds the profiles that a person can choose: the user profiles in the config folder, and the shipped ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from codex_tui.base.close_match import suggest
from codex_tui.base.errors import BadInput, convert_os_error
from codex_tui.base.secrets import redact
from codex_tui.base.text import shorten
from codex_tui.profiles.problems import ProfileError, ProfileProblem
from codex_tui.profiles.resolve import load_profile
from training.contract.files import write_atomically
from training.contract.profile import Profile

MAX_NAME_LENGTH = 200  # characters of a name in a message


@dataclass(frozen=True)
class ProfileEntry:
    """A row of the list of profiles. `profile` is None if there are `problems`."""

    name: str
    path: Path
    shipped: bool
    profile: Profile | None
    problems: list[ProfileProblem]

    @property
    def title(self) -> str:
        return self.profile.title if self.profile else ""

    @property
    def description(self) -> str:
        return self.profile.description if self.profile else ""


def list_profiles() -> list[ProfileEntry]:
    """List the user profiles, then the shipped ones. A user profile hides a shipped one of the same name."""
    entries: dict[str, ProfileEntry] = {}
    for folder, shipped in ((locations.user_profiles(), False), (locations.shipped_profiles(), True)):
        for path in sorted(folder.glob("*.toml")):
            if path.stem not in entries:
                entries[path.stem] = read_entry(path, shipped)
    return list(entries.values())


def read_entry(path: Path, shipped: bool, overrides: Mapping[str, Any] = {}) -> ProfileEntry:
    try:
        return ProfileEntry(path.stem, path, shipped, load_profile(path, overrides), [])
    except ProfileError as error:
        return ProfileEntry(path.stem, path, shipped, None, error.problems)


def find_profile(text: str) -> Path:
    """Find the file that `text` names: a path, or the name of a profile. Raises BadInput."""
    path = locations.expand_home(text)
    shown_name = shorten(redact(text), MAX_NAME_LENGTH)
    if path.suffix == ".toml" or "/" in text:
        if os.path.isfile(path):  # noqa: PTH113  pathlib raises for an impossible name
            return path.absolute()
        raise BadInput(f"{shown_name}: {_explain_no_profile(path)}.", "List the profiles with: codex-tui profile list")
    for folder in (locations.user_profiles(), locations.shipped_profiles()):
        candidate = folder / f"{text}.toml"
        if os.path.isfile(candidate):  # noqa: PTH113
            return candidate
    names = list_names()
    there_are = f"There are: {', '.join(names)}" if names else ""
    hint = " ".join(filter(None, [suggest(text, names), there_are]))
    raise BadInput(f"No profile is called {shown_name!r}.", hint)


def list_names() -> list[str]:
    """List the names of all profiles, without a look into them."""
    folders = (locations.user_profiles(), locations.shipped_profiles())
    return sorted({entry.stem for folder in folders for entry in folder.glob("*.toml")})


def _explain_no_profile(path: Path) -> str:
    if os.path.isdir(path):  # noqa: PTH112
        return "a folder, not a profile file"
    if os.path.exists(path):  # noqa: PTH110
        return "not a file"
    return "a link that leads nowhere" if os.path.islink(path) else "no such profile file"  # noqa: PTH114


def format_profile_argument(path: Path) -> str:
    """What to write for the profile at `path` in a command: its name if that finds this file, else the path."""
    try:
        return path.stem if find_profile(path.stem) == path else str(path)
    except BadInput:
        return str(path)


def make_editable(entry: ProfileEntry) -> Path:
    """Return the file to edit. A shipped profile is first copied to the user profiles, under the same name. Raises
    CodexError if that fails."""
    if not entry.shipped:
        return entry.path
    own = locations.user_profiles() / entry.path.name
    if not own.exists():
        try:
            own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(own, entry.path.read_bytes())
        except OSError as error:
            raise convert_os_error(error) from None
    return own


def require_profile(path: Path, overrides: Mapping[str, Any] = {}) -> Profile:
    """Load the profile at `path` under `overrides`. Raises BadInput with one line for each problem."""
    try:
        return load_profile(path, overrides)
    except ProfileError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        if all(problem.field in overrides for problem in error.problems):  # the file itself is good
            fields = ", ".join(dict.fromkeys(problem.field for problem in error.problems))
            message = f"{path} can't be used with another value of {fields}:\n{lines}"
            raise BadInput(message, "Correct the option --set or --sweep that gives it.") from error
        raise BadInput(f"{path} can't be used:\n{lines}", f"Edit it, then: codex-tui profile check {path}") from error
