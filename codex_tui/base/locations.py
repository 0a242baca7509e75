"""The folders and files of the app. `CODEX_TUI_HOME` overrides the XDG folders. This module creates nothing."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from codex_tui.base.errors import BadInput


def expand_home(path: str | Path) -> Path:
    """Replace a leading ~ of `path`. Return `path` unchanged if the user is unknown, where pathlib would raise."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _home(variable: str, default: str, inside: str) -> Path:
    if override := os.environ.get("CODEX_TUI_HOME"):
        return _folder(expand_home(override).absolute()) / inside
    base = os.environ.get(variable) or ""
    root = Path(base) if base.startswith("/") else find_user_home() / default
    return root / "codex-tui"


def _folder(home: Path) -> Path:
    """Return `home`, which need not exist. Raises BadInput if it, or one of its parents, is not a folder."""
    for place in (home, *home.parents):
        if os.path.isdir(place):  # noqa: PTH112  pathlib raises for an impossible name
            break
        if os.path.exists(place):  # noqa: PTH110
            raise BadInput(
                f"CODEX_TUI_HOME names {home}, and {'that' if place == home else place} is a file, not a folder.",
                "Set CODEX_TUI_HOME to a folder, or unset it.",
            )
    return home


def find_user_home() -> Path:
    """Return HOME or, if it is not set, the home folder that the system has for the user. Raises BadInput if it has
    none, as for a user of a container who has a number but no name."""
    try:
        return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir).absolute()
    except KeyError:
        raise BadInput(
            "Your home folder is unknown: HOME is not set.", "Set HOME, or CODEX_TUI_HOME to a folder."
        ) from None


def data_home() -> Path:
    return _home("XDG_DATA_HOME", ".local/share", "data")


def config_home() -> Path:
    return _home("XDG_CONFIG_HOME", ".config", "config")


def cache_home() -> Path:
    """The folder for files that can be made again: the demo model, caches of datasets."""
    return _home("XDG_CACHE_HOME", ".cache", "cache")


def runs_home() -> Path:
    return data_home() / "runs"


def managed_environment() -> Path:
    """The virtual environment `codex-train` that `codex-tui setup` builds."""
    return data_home() / "envs" / "codex-train"


def managed_llama_cpp() -> Path:
    """The llama.cpp that `codex-tui setup --export` installs."""
    return data_home() / "envs" / "llama-cpp"


def settings_file() -> Path:
    return config_home() / "settings.toml"


def user_profiles() -> Path:
    return config_home() / "profiles"


def shipped_profiles() -> Path:
    """The shipped profiles: beside the code in an installed copy, at the top in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "profiles" / "shipped"
    return installed if installed.is_dir() else package.parent / "profiles"
