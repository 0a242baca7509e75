"""settings.toml, the little that is the person's and not a profile's:

[trainer]
python = "~/miniconda3/envs/codex-train/bin/python"
[app]
low_bandwidth = true
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from training.contract import files

KNOWN = {"trainer": "python", "app": "low_bandwidth"}
HINT = 'It knows two tables: [trainer] with python = "PATH", and [app] with low_bandwidth = true or false.'


@dataclass(frozen=True)
class Settings:
    trainer_python: Path | None = None  # None: the managed environment
    low_bandwidth: bool | None = None  # None: over SSH


def load() -> Settings:
    """BadInput that names file and line; no file means the defaults."""
    path = locations.settings_file()
    try:
        text = files.read(path).decode()
        tables = tomllib.loads(text)
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", error)
        raise BadInput(f"{path} cannot be read: {why}.", "Mend it, or remove it to go back to the defaults.") from None
    except (ValueError, RecursionError) as error:
        mistake = isinstance(error, tomllib.TOMLDecodeError)  # whose message ends with the line
        why = error if mistake else "nested too deeply, or a number has thousands of digits"
        raise BadInput(f"{path}: {why}", "Correct the line, or remove the file to go back to the defaults.") from None

    def wrong(name: str, why: str) -> BadInput:
        numbered = enumerate(text.splitlines(), 1)
        line = next((n for n, content in numbered if name in content.partition("#")[0]), 1)
        return BadInput(f"{path}, line {line}: {why}", HINT)

    for name in tables.keys() - KNOWN.keys():
        raise wrong(name, f"there is no setting {name!r}")
    for table, setting in KNOWN.items():
        if not isinstance(tables.setdefault(table, {}), dict):
            raise wrong(table, f"{table!r} is a table")
        for name in tables[table].keys() - {setting}:
            raise wrong(name, f"there is no setting {name!r} in [{table}]")
    python, low_bandwidth = tables["trainer"].get("python"), tables["app"].get("low_bandwidth")
    if python is not None and not (isinstance(python, str) and python and "\0" not in python):
        raise wrong("python", "'python' is the path of an interpreter, in quotes")
    if low_bandwidth is not None and not isinstance(low_bandwidth, bool):
        raise wrong("low_bandwidth", "'low_bandwidth' is true or false")
    return Settings(locations.expanded(python) if python else None, low_bandwidth)
