"""settings.toml, the little that is the person's and not a profile's:

[trainer]
python = "~/miniconda3/envs/codex-train/bin/python"
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from codex_tui.core import locations
from codex_tui.core.errors import BadInput


@dataclass(frozen=True)
class Settings:
    trainer_python: Path | None = None  # None: the managed environment


def load() -> Settings:
    """BadInput that names file and line; no file means the defaults."""
    path = locations.settings_file()
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except FileNotFoundError:
        return Settings()
    except tomllib.TOMLDecodeError as error:  # its message ends with the line
        raise BadInput(f"{path}: {error}", "Correct the line, or remove the file to go back to the defaults.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None

    def wrong(name: str, why: str) -> BadInput:
        numbered = enumerate(text.splitlines(), 1)
        line = next((n for n, content in numbered if name in content.partition("#")[0]), 1)
        return BadInput(f"{path}, line {line}: {why}", 'It knows one table: [trainer] with python = "PATH".')

    for name in tables.keys() - {"trainer"}:
        raise wrong(name, f"there is no setting {name!r}")
    trainer = tables.get("trainer", {})
    if not isinstance(trainer, dict):
        raise wrong("trainer", "'trainer' is a table")
    for name in trainer.keys() - {"python"}:
        raise wrong(name, f"there is no setting {name!r} in [trainer]")
    python = trainer.get("python")
    if python is None:
        return Settings()
    if not isinstance(python, str) or not python:
        raise wrong("python", "'python' is the path of an interpreter, in quotes")
    return Settings(locations.expanded(python))
