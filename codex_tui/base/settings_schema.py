"""The schema of settings.toml, and what to say about a value that does not fit it.

A start without settings.toml does not import this module, because the schema and TOML take milliseconds.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec

from codex_tui.base import locations
from codex_tui.base.close_match import find_close_match
from codex_tui.base.toml import parse_toml
from training.contract.secrets import has_secret

Theme = Literal["dark", "light"]
DuringTraining = Literal["auto", "ask", "trainer", "park"]
WebhookKind = Literal["ntfy", "slack"]
NoticeEvent = Literal[
    "done",
    "failed",
    "lost",
    "unreachable",
    "paused",
    "parked",
    "waiting",
    "healed",
    "stopped",
    "queued",
    "started",
    "resumed",
]
"""What may become of a run. The settings choose of which of these the command and the webhooks tell the person."""

DEFAULT_EVENTS: tuple[NoticeEvent, ...] = (
    "done", "failed", "lost", "unreachable", "paused", "parked", "waiting", "healed"
)  # fmt: skip


_T = TypeVar("_T")


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
    events: list[NoticeEvent] | None = None


class _Chat(_Table):
    during_training: DuringTraining | None = None


class _LlamaCpp(_Table):
    path: Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$")] | None = None


_Line = Annotated[str, msgspec.Meta(pattern=r"^[^\0\n\r]*$")]


class _Slurm(_Table):
    setup: list[_Line] | None = None


_Name = Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$")]
_Variable = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _JudgeModel(_Table):
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]")] | None = None
    model: _Name | None = None
    key_env: _Variable | None = None
    key: Annotated[str, msgspec.Meta(pattern=r"^[!-~]+$")] | None = None


class _Webhook(_Table):
    kind: WebhookKind | None = None
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]\S*$")] | None = None
    url_env: _Variable | None = None
    token: Annotated[str, msgspec.Meta(pattern=r"^[!-~]+$")] | None = None
    token_env: _Variable | None = None
    lan: bool = False


class File(_Table):
    trainer: _Trainer = msgspec.field(default_factory=_Trainer)
    app: _App = msgspec.field(default_factory=_App)
    notify: _Notify = msgspec.field(default_factory=_Notify)
    chat: _Chat = msgspec.field(default_factory=_Chat)
    llama_cpp: _LlamaCpp = msgspec.field(default_factory=_LlamaCpp)
    judge_model: _JudgeModel = msgspec.field(default_factory=_JudgeModel)
    slurm: _Slurm = msgspec.field(default_factory=_Slurm)
    webhook: dict[str, _Webhook] = {}


EXPECTED = {
    "trainer": "'trainer' is a table",
    "trainer.python": "'python' is the path of an interpreter, in quotes",
    "app": "'app' is a table",
    "app.low_bandwidth": "'low_bandwidth' is true or false",
    "app.theme": '\'theme\' is "dark" or "light"',
    "notify": "'notify' is a table",
    "notify.command": "'command' is a list of texts in quotes: the program and its arguments",
    "notify.terminal": "'terminal' is true or false",
    "notify.events": "'events' is a list of some of these words in quotes: " + ", ".join(get_args(NoticeEvent)),
    "webhook": "'webhook' has a table for each webhook, such as [webhook.phone]",
    "webhook.NAME": "a webhook is a table with a name, such as [webhook.phone]",
    "webhook.NAME.kind": '\'kind\' is "ntfy" or "slack"',
    "webhook.NAME.url": "'url' is an address that begins with https://, in quotes",
    "webhook.NAME.url_env": "'url_env' is the name of an environment variable, not the address itself",
    "webhook.NAME.token": "'token' is a text in quotes, without spaces",
    "webhook.NAME.token_env": "'token_env' is the name of an environment variable, not the token itself",
    "webhook.NAME.lan": "'lan' is true or false",
    "chat": "'chat' is a table",
    "chat.during_training": '\'during_training\' is "auto", "ask", "trainer" or "park"',
    "llama_cpp": "'llama_cpp' is a table",
    "llama_cpp.path": "'path' is the folder of your llama.cpp, in quotes",
    "slurm": "'slurm' is a table",
    "slurm.setup": "'setup' is a list of commands in quotes, each on one line",
    "judge_model": "'judge_model' is a table",
    "judge_model.url": "'url' is an address that begins with https:// or http://, in quotes",
    "judge_model.model": "'model' is the name of a model, in quotes",
    "judge_model.key_env": "'key_env' is the name of an environment variable, not the key itself",
    "judge_model.key": "'key' is a text in quotes, without spaces",
}

SECRETS = ("judge_model.key", "webhook.NAME.url", "webhook.NAME.token")
"""The settings whose values are never shown. A webhook's url is one, because who knows it can send to it."""

HELP = {
    "trainer.python": "the Python that trains and chats, or its environment folder (unset: the managed environment)",
    "app.low_bandwidth": "send less to the terminal (unset: over SSH only)",
    "app.theme": "dark or light (unset: dark)",
    "notify.command": "the program that tells you how a run ends, with its arguments (unset: none)",
    "notify.terminal": "ring the bell and show a notification when a run ends",
    "notify.events": f"what the command and the webhooks tell you (unset: {', '.join(DEFAULT_EVENTS)})",
    "chat.during_training": "who answers while a run trains: auto asks where the card holds one model, ask always; "
    "trainer, or park and a worker (unset: auto)",
    "llama_cpp.path": "the folder of your own llama.cpp (unset: PATH, then what codex-tui setup --export installs)",
    "slurm.setup": 'what each job of Slurm runs first in a login shell, such as ["module load cuda"] (unset: nothing)',
    "judge_model.url": "a server that judge --judge-model sends questions and answers to, such as https://HOST/v1",
    "judge_model.model": "the model there that compares the answers",
    "judge_model.key_env": "the environment variable that has the server's key (unset: no key)",
    "judge_model.key": "the key itself, if no variable has it; settings.toml must then be yours alone (chmod 600)",
}
"""The meaning of each setting, by its dotted name."""

WEBHOOK_HELP = {
    "webhook.NAME.kind": 'what listens there: "ntfy", or "slack" (also Mattermost, and Discord\'s address with /slack)',
    "webhook.NAME.url": "the address, which is as secret as a password",
    "webhook.NAME.url_env": "the environment variable that has the address",
    "webhook.NAME.token": "the access token of ntfy, if it asks for one",
    "webhook.NAME.token_env": "the environment variable that has the token",
    "webhook.NAME.lan": "the server is in your own network, so that http:// may be used",
}
"""The meaning of each setting of a webhook. A person chooses the names of the webhooks."""


class BadSetting(ValueError):
    """A setting that is unknown or has a wrong value. `field` is its dotted name."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(problem)


def generalize(name: str) -> str:
    """Return the key of HELP, EXPECTED and SECRETS for a dotted name: webhook.NAME.url for webhook.phone.url."""
    return re.sub(r"^webhook\.[^.]+", "webhook.NAME", name)


def find_help(name: str) -> str:
    """Return the meaning of the setting with a dotted name; "" if there is no such setting."""
    return (HELP | WEBHOOK_HELP).get(generalize(name), "")


def parse(text: str) -> File:
    """Return the settings in the text of a file. Raises TomlError, BadSetting."""
    values = parse_toml(text)
    webhooks = values.pop("webhook", {})
    file = _convert(values, File)
    file.webhook = _parse_webhooks(webhooks)
    for name, path in (("trainer.python", file.trainer.python), ("llama_cpp.path", file.llama_cpp.path)):
        if path and not locations.expand_home(path).is_absolute():  # it would name another program in each folder
            raise BadSetting(name, f"{EXPECTED[name]}, and begins with / or ~")
    if has_secret(file.judge_model.url or ""):
        raise BadSetting("judge_model.url", "'url' has a secret in it; a key belongs in the variable of 'key_env'")
    program = file.notify.command[0] if file.notify.command else ""
    if "/" in program and not locations.expand_home(program).is_absolute():
        raise BadSetting("notify.command", "the program in 'command' must begin with / or ~, or be only a name")
    return file


def _parse_webhooks(tables: Any) -> dict[str, _Webhook]:
    if not isinstance(tables, dict):
        raise BadSetting("webhook", EXPECTED["webhook"])
    webhooks = {}
    for name, table in tables.items():
        place = f"webhook.{name}"
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
            raise BadSetting(place, "the name of a webhook has letters, digits, - and _")
        webhook = _convert(table, _Webhook, place)
        if webhook.url and (problem := find_url_problem(webhook.url, webhook.lan)):
            raise BadSetting(f"{place}.url", f"'url' {problem}")
        webhooks[name] = webhook
    return webhooks


def find_url_problem(url: str, lan: bool) -> str:
    """Say what is wrong with the address of a webhook, to be read after "the url"; "" if nothing is. Only this machine
    and, if the person says so, their own network may be asked without encryption."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("http", "https") or not host:
        return "is an address that begins with https://"
    if parts.username is not None:
        return "has a name or a password in it; an access token belongs in 'token_env'"
    if parts.scheme == "https" or lan or host == "localhost" or _is_loopback(host):
        return ""
    return "begins with http://, which anybody on the way can read; use https://, or lan = true in your own network"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _convert(values: Any, kind: type[_T], place: str = "") -> _T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise BadSetting(*_explain(str(error), place)) from None


def _explain(message: str, within: str) -> tuple[str, str]:
    """Return the field that msgspec's message is about, and a plain sentence about the problem. `within` is the table
    that was converted, "" for the whole file."""
    place = re.search(r" - at `\$\.([\w.]+)(?:\[[\d.]*\])?`$", message)
    table = ".".join(filter(None, (within, place[1] if place else "")))
    if unknown := re.match(r"Object contains unknown field `(.*?)`(?: - at `\$\.\w+`)?$", message, re.DOTALL):
        name, known = unknown[1], generalize(table)
        where = f" in [{table}]" if table else ""
        siblings = [field.rpartition(".")[2] for field in EXPECTED if field.rpartition(".")[0] == known]
        close = find_close_match(name, siblings)
        meant = f"; did you mean {close}?" if close else ""
        return f"{table}.{name}" if table else name, f"there is no setting {name!r}{where}{meant}"
    return table, EXPECTED[generalize(table)]
