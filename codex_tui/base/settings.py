"""Reads settings.toml, the few settings that belong to the person and not to a profile:

[trainer]
python = "~/miniconda3/envs/codex-train/bin/python"
[app]
low_bandwidth = true
theme = "light"
[notify]
command = ["notify-send", "{title}", "{message}"]
terminal = false
events = ["done", "failed"]
[webhook.phone]
kind = "ntfy"
url = "https://ntfy.sh/TOPIC"
[chat]
during_training = "trainer"
[llama_cpp]
path = "~/llama.cpp"
[slurm]
setup = ["module load cuda"]
[judge_model]
url = "https://api.example.com/v1"
model = "large-1"
key_env = "EXAMPLE_API_KEY"
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from training.contract import files

if TYPE_CHECKING:
    from codex_tui.base.settings_schema import DuringTraining, File, NoticeEvent, Theme, WebhookKind

HIDDEN = "(hidden)"
HINT = "List the settings: codex-tui config"
MAX_BYTES = 2**20  # of the file


class JudgeModelSettings(NamedTuple):
    """The model that compares answers, behind an OpenAI-compatible endpoint. `key` is in the file, or `key_env` names
    the environment variable that has it."""

    url: str = ""
    model: str = ""
    key_env: str = ""
    key: str = ""


class WebhookSettings(NamedTuple):
    """Where notices are sent over the network. `url` and `token` are secrets, in the file or in the environment
    variables `url_env` and `token_env`. `lan`: the server is in the person's own network."""

    name: str
    kind: WebhookKind | None = None
    url: str = ""
    url_env: str = ""
    token: str = ""
    token_env: str = ""
    lan: bool = False


class Settings(NamedTuple):
    trainer_python: Path | None = None  # None: use the managed environment
    low_bandwidth: bool | None = None  # None: low over SSH, else normal
    notify_command: tuple[str, ...] = ()  # the program and its arguments; see `notify.run_command`
    notify_terminal: bool = True  # ring the bell and show a notification
    notify_events: tuple[NoticeEvent, ...] | None = None  # what the command and the webhooks tell; None: the default
    webhooks: tuple[WebhookSettings, ...] = ()
    theme: Theme | None = None  # None: dark
    llama_cpp: Path | None = None  # the folder of the person's llama.cpp; None: look for it
    judge_model: JudgeModelSettings = JudgeModelSettings()
    chat_during_training: DuringTraining = "auto"
    slurm_setup: tuple[str, ...] = ()  # commands that a job of Slurm runs first, a line each


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
    if not (text := read_text()):  # the schema and TOML take milliseconds to import
        return Settings()
    file = _parse(text)
    chosen = file.judge_model
    return Settings(
        locations.expand_home(file.trainer.python) if file.trainer.python else None,
        file.app.low_bandwidth,
        tuple(file.notify.command or ()),
        file.notify.terminal,
        None if file.notify.events is None else tuple(file.notify.events),
        tuple(
            WebhookSettings(
                name, hook.kind, hook.url or "", hook.url_env or "", hook.token or "", hook.token_env or "", hook.lan
            )
            for name, hook in file.webhook.items()
        ),
        file.app.theme,
        locations.expand_home(file.llama_cpp.path) if file.llama_cpp.path else None,
        JudgeModelSettings(*(value or "" for value in (chosen.url, chosen.model, chosen.key_env, chosen.key))),
        file.chat.during_training or "auto",
        tuple(file.slurm.setup or ()),
    )


def read_values() -> dict[str, Any]:
    """Return the value of each setting by its dotted name, None for one that is not set, and HIDDEN for a secret.
    Raises BadInput."""
    import msgspec

    from codex_tui.base.settings_schema import SECRETS, generalize

    tables = msgspec.to_builtins(_parse(read_text()))
    tables |= {f"webhook.{name}": table for name, table in tables.pop("webhook").items()}
    values = {f"{table}.{name}": value for table, names in tables.items() for name, value in names.items()}
    hidden = (name for name, value in values.items() if value is not None and generalize(name) in SECRETS)
    return values | dict.fromkeys(hidden, HIDDEN)


def find_secret(variable: str, secret: str, setting: str) -> str:
    """Return the secret in the environment variable `variable`, or `secret` from the file if no variable is named.
    `setting` is the dotted name of the secret. Raises BadInput, whose message never has the secret."""
    if variable:
        value = os.environ.get(variable, "").strip()
        if not value:
            raise BadInput(f"The environment variable {variable} is empty.", f"{setting}_env names it.")
        if not re.fullmatch(r"[!-~]+", value):
            noun = setting.rpartition(".")[2]
            raise BadInput(f"The {noun} in {variable} has a space or a letter that no {noun} has.", "Set it again.")
        return value
    path = locations.settings_file()
    if secret and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        noun = setting.rpartition(".")[2]
        raise BadInput(f"{path} has a {noun}, and other users may read it.", f"Run: chmod 600 {path}")
    return secret


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


def _parse(text: str) -> File:
    from codex_tui.base import settings_schema
    from codex_tui.base.toml import TomlError

    path = locations.settings_file()
    try:
        return settings_schema.parse(text)
    except TomlError as error:
        hint = "Correct the line, or remove the file to use the defaults."
        raise BadInput(f"{path}: {error.message} (at line {error.line}).", hint) from None
    except settings_schema.BadSetting as error:
        from codex_tui.base.toml_positions import find_lines

        raise BadInput(f"{path}, line {find_lines(text).get(error.field, 1)}: {error.problem}", HINT) from None
