"""Reads settings.toml, the few settings that belong to the person and not to a profile:

[trainer]
python = "~/miniconda3/envs/codex-train/bin/python"
[app]
low_bandwidth = true
theme = "light"
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
from typing import Annotated, Any, Literal

import msgspec

from codex_tui.base import locations
from codex_tui.base.close_match import find_close_match
from codex_tui.base.errors import BadInput
from codex_tui.base.toml import MAX_BYTES, TomlError, parse_toml
from codex_tui.base.toml_positions import find_lines
from training.contract import files

HINT = "List the settings: codex-tui config"
Theme = Literal["dark", "light"]


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """A table with strict types: a text is not converted to a number, nor a number to true or false."""


class _Trainer(_Table):
    python: Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$")] | None = None


class _App(_Table):
    low_bandwidth: bool | None = None
    theme: Theme | None = None


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
    "app.theme": '\'theme\' is "dark" or "light"',
    "notify": "'notify' is a table",
    "notify.command": "'command' is a list of texts in quotes: the program and its arguments",
    "notify.terminal": "'terminal' is true or false",
}

HELP = {
    "trainer.python": "the Python that trains and chats, or its environment folder (unset: the managed environment)",
    "app.low_bandwidth": "send less to the terminal (unset: over SSH only)",
    "app.theme": "dark or light (unset: dark)",
    "notify.command": "the program that tells you how a run ends, with its arguments (unset: none)",
    "notify.terminal": "ring the bell and show a notification when a run ends",
}
"""The meaning of each setting, by its dotted name."""


@dataclass(frozen=True)
class Settings:
    trainer_python: Path | None = None  # None: use the managed environment
    low_bandwidth: bool | None = None  # None: low over SSH, else normal
    notify_command: tuple[str, ...] = ()  # the program and its arguments; see `notify.run_command`
    notify_terminal: bool = True  # ring the bell and show a notification
    theme: Theme | None = None  # None: dark


class BadSetting(ValueError):
    """A setting that is unknown or has a wrong value. `field` is its dotted name."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(problem)


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
    file = _read_file()
    return Settings(
        locations.expand_home(file.trainer.python) if file.trainer.python else None,
        file.app.low_bandwidth,
        tuple(file.notify.command or ()),
        file.notify.terminal,
        file.app.theme,
    )


def read_values() -> dict[str, Any]:
    """Return the value of each setting by its dotted name, None for one that is not set. Raises BadInput."""
    tables = msgspec.to_builtins(_read_file())
    return {f"{table}.{name}": value for table, values in tables.items() for name, value in values.items()}


def read_text() -> str:
    """Return the text of the file, "" if there is no file. Raises BadInput if it can't be read."""
    path = locations.settings_file()
    try:
        return files.read(path, MAX_BYTES).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", error)
        raise BadInput(f"{path} cannot be read: {why}.", "Fix it, or remove it to use the defaults.") from None


def _read_file() -> _File:
    path, text = locations.settings_file(), read_text()
    try:
        return parse(text)
    except TomlError as error:
        hint = "Correct the line, or remove the file to use the defaults."
        raise BadInput(f"{path}: {error.message} (at line {error.line}).", hint) from None
    except BadSetting as error:
        raise BadInput(f"{path}, line {find_lines(text).get(error.field, 1)}: {error.problem}", HINT) from None


def parse(text: str) -> _File:
    """Return the settings in the text of a file. Raises TomlError, BadSetting."""
    try:
        file = msgspec.convert(parse_toml(text), _File)
    except msgspec.ValidationError as error:
        raise BadSetting(*_explain(str(error))) from None
    python = file.trainer.python
    if python and not locations.expand_home(python).is_absolute():  # it would name another program in each folder
        raise BadSetting("trainer.python", f"{EXPECTED['trainer.python']}, and begins with / or ~")
    program = file.notify.command[0] if file.notify.command else ""
    if "/" in program and not locations.expand_home(program).is_absolute():
        raise BadSetting("notify.command", "the program in 'command' must begin with / or ~, or be only a name")
    return file


def _explain(message: str) -> tuple[str, str]:
    """Return the field that msgspec's message is about, and a plain sentence about the problem."""
    place = re.search(r" - at `\$\.([\w.]+)(?:\[[\d.]*\])?`$", message)
    table = place[1] if place else ""
    if unknown := re.match(r"Object contains unknown field `(.*?)`(?: - at `\$\.\w+`)?$", message, re.DOTALL):
        name = unknown[1]
        where = f" in [{table}]" if table else ""
        siblings = [field.rpartition(".")[2] for field in EXPECTED if field.rpartition(".")[0] == table]
        close = find_close_match(name, siblings)
        meant = f"; did you mean {close}?" if close else ""
        return f"{table}.{name}" if table else name, f"there is no setting {name!r}{where}{meant}"
    return table, EXPECTED[table]
