"""Where things live. `CODEX_TUI_HOME` overrides the XDG folders; nothing is created here."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """`path` with its leading ~ replaced; as it is where no such user is known, for which pathlib raises."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _home(variable: str, default: str, inside: str) -> Path:
    if override := os.environ.get("CODEX_TUI_HOME"):
        return expanded(override).absolute() / inside
    base = os.environ.get(variable) or ""
    root = Path(base) if base.startswith("/") else Path.home() / default
    return root / "codex-tui"


def data_home() -> Path:
    return _home("XDG_DATA_HOME", ".local/share", "data")


def config_home() -> Path:
    return _home("XDG_CONFIG_HOME", ".config", "config")


def cache_home() -> Path:
    """What can be made again: the demo model, reading caches."""
    return _home("XDG_CACHE_HOME", ".cache", "cache")


def runs_home() -> Path:
    return data_home() / "runs"


def managed_environment() -> Path:
    """The virtual environment `codex-train` that `codex-tui setup` builds."""
    return data_home() / "envs" / "codex-train"


def settings_file() -> Path:
    return config_home() / "settings.toml"


def user_profiles() -> Path:
    return config_home() / "profiles"


def shipped_profiles() -> Path:
    """Beside the code in an installed copy; at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "profiles"
    return installed if installed.is_dir() else package.parent / "profiles"
