"""Parses the arguments of `codex-tui`. Each command adds its own parser, and imports what it needs when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, NoReturn

from codex_tui import __version__
from codex_tui.commands.options import add_low_bandwidth_option

# In the order of `--help`. Each module has add(subparsers), which sets `run` on its parsers.
COMMANDS = (
    "train", "park", "runs", "queue", "compare", "chat", "judge", "export", "profile", "forecast", "data", "push",
    "serve", "remote", "setup", "doctor", "config", "tell", "completion",
)  # fmt: skip
# The commands that have no module of their own.
_MODULES = dict.fromkeys(("demo", "attach", "stop", "resume"), "train")


class Parser(argparse.ArgumentParser):
    """Suggests the right word for a mistyped command or option.

    Cleans what the person typed, and takes secrets out, before an error repeats it on the terminal.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown arguments here, where the options of the command are known. argparse would do it later."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_suggest(option, self._option_string_actions)}")
        return parsed, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # argparse has no public place for this
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            below = [command for command in _list_commands(action) if command.split()[-1] == value]
            meant = f"; did you mean {' or '.join(below)}?" if below else _suggest(value, action.choices)
            self.error(f"there is no command {value!r}{meant}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        from codex_tui.base.secrets import redact
        from codex_tui.base.text import clean

        super().error(clean(redact(message)))


def _suggest(word: str, known: Iterable[str]) -> str:
    from codex_tui.base.close_match import find_close_match

    close = find_close_match(word, known)
    return f"; did you mean {close}?" if close else ""


def _list_commands(group: argparse._SubParsersAction[Any]) -> Iterator[str]:
    """List the commands of a group and those below them, such as "data" and "data check"."""
    for name, command in group.choices.items():
        yield name
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from (f"{name} {below}" for below in _list_commands(action))


def make_parser(command: str = "") -> argparse.ArgumentParser:
    """Make the parser of `command` alone, or of all commands if there is none of that name. All take much longer."""
    module = _MODULES.get(command, command)
    root = Parser(
        prog="codex-tui",
        description="The training cockpit for one small GPU. Without a command, opens the app: on the live run, on the "
        "last run if it was lost or failed, or on the list of profiles.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage or bad input, 3 no training environment, 4 no whole checkpoint, "
        "130 detached by Ctrl-C. CODEX_TUI_HOME overrides the XDG folders.",
    )
    root.add_argument("-V", "--version", action="version", version=f"codex-tui {__version__}")
    add_low_bandwidth_option(root)
    root.set_defaults(low_bandwidth=None)
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND")
    for name in (module,) if module in COMMANDS else COMMANDS:
        import_module(f"codex_tui.commands.{name}").add(subparsers)
    return root
