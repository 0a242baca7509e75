"""Where things live. `CODEX_TUI_HOME` overrides the XDG folders; nothing is created here."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from codex_tui.base.errors import BadInput


def expand_home(path: str | Path) -> Path:
    """`path` with its leading ~ replaced; as it is where no such user is known, for which pathlib raises."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _home(variable: str, default: str, inside: str) -> Path:
    if override := os.environ.get("CODEX_TUI_HOME"):
        return _folder(expand_home(override).absolute()) / inside
    base = os.environ.get(variable) or ""
    root = Path(base) if base.startswith("/") else find_user_home() / default
    return root / "codex-tui"


def _folder(home: Path) -> Path:
    """`home`, which may not be there yet. Raises BadInput where it, or what leads to it, is something else."""
    for place in (home, *home.parents):
        if os.path.isdir(place):  # noqa: PTH112  pathlib's raises for a name that can't be
            break
        if os.path.exists(place):  # noqa: PTH110
            raise BadInput(
                f"CODEX_TUI_HOME names {home}, and {'that' if place == home else place} is a file, not a folder.",
                "Set CODEX_TUI_HOME to a folder, or unset it.",
            )
    return home


def find_user_home() -> Path:
    """HOME; where it is not set, what the system knows. Raises BadInput where it knows nothing, as of a container's
    user who is a number alone."""
    try:
        return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir).absolute()
    except KeyError:
        raise BadInput(
            "There is no knowing where your home is: HOME is not set.", "Set HOME, or CODEX_TUI_HOME to a folder."
        ) from None


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
    installed = package / "profiles" / "shipped"
    return installed if installed.is_dir() else package.parent / "profiles"
