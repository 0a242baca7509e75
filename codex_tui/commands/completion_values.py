"""Answers the shell, which runs `codex-tui` with the variable _ARGCOMPLETE to complete a command line."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import argcomplete
from argcomplete.completers import BaseCompleter, FilesCompleter

from codex_tui.base.errors import CodexError


def print_completions(root: argparse.ArgumentParser) -> None:
    """Answer the shell, and end the process."""
    argcomplete.autocomplete(root, always_complete_options=False, default_completer=_Values())


class _Values(BaseCompleter):
    """The values of an argument. Its metavar says what it takes."""

    def __call__(self, *, prefix: str, action: argparse.Action, **_: Any) -> Iterable[str]:
        metavar = str(action.metavar)
        values: list[str] = []
        with suppress(CodexError, OSError):  # the command itself will report them
            values = [value for value in _VALUES.get(metavar, list)() if _is_plain(value)]
        if metavar in _FILES:
            values += FilesCompleter(_FILES[metavar])(prefix)
        return values


def _is_plain(name: str) -> bool:
    """Whether `name` is the same in a shell without quotes. Nothing else is completed: a run may come from anywhere."""
    return shlex.quote(name.removesuffix("=")) == name.removesuffix("=")


def _list_profiles() -> list[str]:
    from codex_tui.profiles.library import list_names

    return list_names()


def _list_runs() -> list[str]:
    from codex_tui.runs.library import list_names

    return [*list_names(), "last"]


def _list_fields() -> list[str]:
    from codex_tui.profiles.schema import read_schema

    return list(read_schema())


def _list_settings() -> list[str]:
    from codex_tui.base.settings_schema import HELP

    return list(HELP)


def _list_remotes() -> list[str]:
    from codex_tui.engines.ssh.remote.remotes import read_remotes

    return list(read_remotes())


def _list_places() -> list[str]:
    from codex_tui.profiles.overrides import PLACES

    return [*PLACES, *_list_remotes()]


_VALUES: dict[str, Callable[[], list[str]]] = {
    "PROFILE": _list_profiles,
    "P": _list_profiles,
    "RUN": _list_runs,
    "REMOTE": _list_remotes,
    "PLACE": _list_places,
    "FIELD": lambda: [*_list_fields(), *(field.rpartition(".")[2] for field in _list_fields())],
    "TABLE.FIELD=VALUE": lambda: [f"{field}=" for field in _list_fields() if "." in field],
    "KEY": _list_settings,
}
"""The known values of an argument, by its metavar."""

_FILES: dict[str, tuple[str, ...]] = {
    "PROFILE": ("toml",), "P": ("toml",), "FILE": (), "DATA": (), "PATH": (), "FOLDER": (),
}  # fmt: skip
"""The endings of the files that an argument takes, by its metavar. No ending: any file."""
