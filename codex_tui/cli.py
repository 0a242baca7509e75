"""`codex-tui` and its commands. A command imports what it needs when it runs, so that the app opens at once."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, NoReturn

from codex_tui import __version__
from codex_tui.base.errors import FAILED, CodexError, convert_os_error
from training.contract import telemetry

# In the order of `--help`. Each module has add(subparsers), which sets `run` on its parsers.
COMMANDS = (
    "train", "runs", "compare", "chat", "profile", "forecast", "data", "push", "setup", "doctor", "config",
    "completion",
)  # fmt: skip


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


def parser() -> argparse.ArgumentParser:
    from codex_tui.commands.options import add_low_bandwidth_option

    root = Parser(
        prog="codex-tui",
        description="The training cockpit for one small GPU. Without a command, opens the app: on the live run, on the "
        "last run if it was lost or failed, or on the list of profiles.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage or bad input, 3 no training environment, 130 detached by Ctrl-C. "
        "CODEX_TUI_HOME overrides the XDG folders.",
    )
    root.add_argument("-V", "--version", action="version", version=f"codex-tui {__version__}")
    add_low_bandwidth_option(root)
    root.set_defaults(low_bandwidth=None)
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"codex_tui.commands.{name}").add(subparsers)
    return root


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code. A person's mistake shows no traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    telemetry.opt_out()
    os.umask(0o077)  # only the owner may read runs, profiles and settings
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal with another encoding shows "?" instead of an error
            stream.reconfigure(errors="replace")
    try:
        if "_ARGCOMPLETE" in os.environ:
            from codex_tui.commands.completion_values import print_completions

            print_completions(parser())
        if not arguments:
            from codex_tui.commands.open_app import open_live_run

            return open_live_run()
        args = parser().parse_args(arguments)
        if not hasattr(args, "run"):
            from codex_tui.commands.open_app import open_live_run

            return open_live_run(args.low_bandwidth)
        from codex_tui.base import settings

        with settings.use_python(getattr(args, "python", None)):
            code = int(args.run(args))
        sys.stdout.flush()  # now, while a failure can still be reported
        return code
    except CodexError as error:
        return _print_error(error)
    except BrokenPipeError:  # the reader of our output has closed the pipe, as `head` does
        _discard_output()
        return FAILED
    except OSError as error:  # a full disk, a file that can't be read
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EFBIG):  # only the output has no file name
            error.filename = "the output"
            _discard_output()
        return _print_error(convert_os_error(error))
    except KeyboardInterrupt:
        print("", file=sys.stderr)  # noqa: T201
        return 130


def _discard_output() -> None:
    """Drop the output that can't be written. Otherwise Python would try again at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(error: CodexError) -> int:
    from codex_tui.base.text import clean

    print(f"codex-tui: {clean(error, newlines=True)}", file=sys.stderr)  # noqa: T201
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
