"""The schema of settings.toml, and what to say about a value that does not fit it.

A start without settings.toml does not import this module, because the schema and TOML take milliseconds.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from codex_tui.base import locations
from codex_tui.base.close_match import find_close_match
from codex_tui.base.toml import parse_toml
from training.contract.secrets import has_secret

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


class _LlamaCpp(_Table):
    path: Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$")] | None = None


_Name = Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$")]


class _JudgeModel(_Table):
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]")] | None = None
    model: _Name | None = None
    key_env: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    key: Annotated[str, msgspec.Meta(pattern=r"^[!-~]+$")] | None = None


class File(_Table):
    trainer: _Trainer = msgspec.field(default_factory=_Trainer)
    app: _App = msgspec.field(default_factory=_App)
    notify: _Notify = msgspec.field(default_factory=_Notify)
    llama_cpp: _LlamaCpp = msgspec.field(default_factory=_LlamaCpp)
    judge_model: _JudgeModel = msgspec.field(default_factory=_JudgeModel)


EXPECTED = {
    "trainer": "'trainer' is a table",
    "trainer.python": "'python' is the path of an interpreter, in quotes",
    "app": "'app' is a table",
    "app.low_bandwidth": "'low_bandwidth' is true or false",
    "app.theme": '\'theme\' is "dark" or "light"',
    "notify": "'notify' is a table",
    "notify.command": "'command' is a list of texts in quotes: the program and its arguments",
    "notify.terminal": "'terminal' is true or false",
    "llama_cpp": "'llama_cpp' is a table",
    "llama_cpp.path": "'path' is the folder of your llama.cpp, in quotes",
    "judge_model": "'judge_model' is a table",
    "judge_model.url": "'url' is an address that begins with https:// or http://, in quotes",
    "judge_model.model": "'model' is the name of a model, in quotes",
    "judge_model.key_env": "'key_env' is the name of an environment variable, not the key itself",
    "judge_model.key": "'key' is a text in quotes, without spaces",
}

SECRETS = ("judge_model.key",)
"""The settings whose values are never shown."""

HELP = {
    "trainer.python": "the Python that trains and chats, or its environment folder (unset: the managed environment)",
    "app.low_bandwidth": "send less to the terminal (unset: over SSH only)",
    "app.theme": "dark or light (unset: dark)",
    "notify.command": "the program that tells you how a run ends, with its arguments (unset: none)",
    "notify.terminal": "ring the bell and show a notification when a run ends",
    "llama_cpp.path": "the folder of your own llama.cpp (unset: PATH, then what codex-tui setup --export installs)",
    "judge_model.url": "a server that judge --judge-model sends questions and answers to, such as https://HOST/v1",
    "judge_model.model": "the model there that compares the answers",
    "judge_model.key_env": "the environment variable that has the server's key (unset: no key)",
    "judge_model.key": "the key itself, if no variable has it; settings.toml must then be yours alone (chmod 600)",
}
"""The meaning of each setting, by its dotted name."""


class BadSetting(ValueError):
    """A setting that is unknown or has a wrong value. `field` is its dotted name."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(problem)


def parse(text: str) -> File:
    """Return the settings in the text of a file. Raises TomlError, BadSetting."""
    try:
        file = msgspec.convert(parse_toml(text), File)
    except msgspec.ValidationError as error:
        raise BadSetting(*_explain(str(error))) from None
    for name, path in (("trainer.python", file.trainer.python), ("llama_cpp.path", file.llama_cpp.path)):
        if path and not locations.expand_home(path).is_absolute():  # it would name another program in each folder
            raise BadSetting(name, f"{EXPECTED[name]}, and begins with / or ~")
    if has_secret(file.judge_model.url or ""):
        raise BadSetting("judge_model.url", "'url' has a secret in it; a key belongs in the variable of 'key_env'")
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
