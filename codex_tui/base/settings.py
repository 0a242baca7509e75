"""Reads settings.toml, the few settings that belong to the person and not to a profile:

[trainer]
python = "~/miniconda3/envs/codex-train/bin/python"
[app]
low_bandwidth = true
[notify]
command = ["notify-send", "{title}", "{message}"]
terminal = false
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.base.toml import MAX_BYTES, TomlError, parse_toml
from codex_tui.base.toml_positions import find_lines
from training.contract import files

HINT = (
    'The file has three tables: [trainer] with python = "PATH", [app] with low_bandwidth = true or false, and [notify] '
    'with command = ["PROGRAM", "ARGUMENT"] and terminal = true or false.'
)


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """A table with strict types: a text is not converted to a number, nor a number to true or false."""


class _Trainer(_Table):
    python: Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$")] | None = None


class _App(_Table):
    low_bandwidth: bool | None = None


_Command = Annotated[list[Annotated[str, msgspec.Meta(pattern=r"^[^\0]*$")]], msgspec.Meta(min_length=1)]


class _Notify(_Table):
    command: _Command | None = None
    terminal: bool = True


class _File(_Table):
    trainer: _Trainer = msgspec.field(default_factory=_Trainer)
    app: _App = msgspec.field(default_factory=_App)
    notify: _Notify = msgspec.field(default_factory=_Notify)


EXPECTED = {
    "trainer": "'trainer' is a table",
    "trainer.python": "'python' is the path of an interpreter, in quotes",
    "app": "'app' is a table",
    "app.low_bandwidth": "'low_bandwidth' is true or false",
    "notify": "'notify' is a table",
    "notify.command": "'command' is a list of texts in quotes: the program and its arguments",
    "notify.terminal": "'terminal' is true or false",
}


@dataclass(frozen=True)
class Settings:
    trainer_python: Path | None = None  # None: use the managed environment
    low_bandwidth: bool | None = None  # None: low over SSH, else normal
    notify_command: tuple[str, ...] = ()  # the program and its arguments; see `notify.run_command`
    notify_terminal: bool = True  # ring the bell and show a notification


_python_option: Path | None = None


@contextmanager
def use_python(path: Path | None) -> Iterator[None]:
    """Inside the block, let `path` replace the interpreter that the file names. This is the option `--python`."""
    global _python_option
    before, _python_option = _python_option, path
    try:
        yield
    finally:
        _python_option = before


def find_named_python() -> Path | None:
    """Return the interpreter that `--python` or the file names. The file is not read if the option is given."""
    return _python_option or load().trainer_python


def load() -> Settings:
    """Read the settings, or return the defaults if there is no file. Raises BadInput with file, line and field."""
    path = locations.settings_file()
    try:
        text = files.read(path, MAX_BYTES).decode()
        tables = parse_toml(text)
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", error)
        raise BadInput(f"{path} cannot be read: {why}.", "Fix it, or remove it to use the defaults.") from None
    except TomlError as error:
        hint = "Correct the line, or remove the file to use the defaults."
        raise BadInput(f"{path}: {error.message} (at line {error.line}).", hint) from None
    try:
        file = msgspec.convert(tables, _File)
    except msgspec.ValidationError as error:
        field, problem = _explain(str(error))
        raise BadInput(f"{path}, line {find_lines(text).get(field, 1)}: {problem}", HINT) from None
    python = locations.expand_home(file.trainer.python) if file.trainer.python else None
    if python and not python.is_absolute():  # it would name another program in each folder
        line = find_lines(text).get("trainer.python", 1)
        raise BadInput(f"{path}, line {line}: {EXPECTED['trainer.python']}, and begins with / or ~", HINT)
    command = file.notify.command or []
    if command and "/" in command[0] and not locations.expand_home(command[0]).is_absolute():
        line = find_lines(text).get("notify.command", 1)
        raise BadInput(f"{path}, line {line}: the program in 'command' must begin with / or ~, or be only a name", HINT)
    return Settings(python, file.app.low_bandwidth, tuple(command), file.notify.terminal)


def _explain(message: str) -> tuple[str, str]:
    """Return the field that msgspec's message is about, and a plain sentence about the problem."""
    place = re.search(r" - at `\$\.([\w.]+)(?:\[[\d.]*\])?`$", message)
    table = place[1] if place else ""
    if unknown := re.match(r"Object contains unknown field `(.*?)`(?: - at `\$\.\w+`)?$", message, re.DOTALL):
        name = unknown[1]
        return f"{table}.{name}" if table else name, f"there is no setting {name!r}" + (f" in [{table}]" * bool(table))
    return table, EXPECTED[table]
