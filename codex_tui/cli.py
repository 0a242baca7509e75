"""`codex-tui`: every command. What a command needs is imported by that command alone, so that the app opens at once."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from importlib import import_module
from typing import NoReturn

from codex_tui import __version__
from codex_tui.base.errors import FAILED, CodexError, of_system

# In the order in which a person meets them; each module has add(subparsers) and sets `run` on its parsers.
COMMANDS = ("train", "runs", "chat", "profile", "forecast", "data", "push", "setup", "doctor")


class Parser(argparse.ArgumentParser):
    """Says what was typed wrongly, and does not send it to the terminal as it is."""

    def error(self, message: str) -> NoReturn:
        from codex_tui.base.text import clean

        super().error(clean(message))


def parser() -> argparse.ArgumentParser:
    from codex_tui.commands.options import add_low_bandwidth_option

    root = Parser(
        prog="codex-tui",
        description="The training cockpit for one small GPU. Without a command: the app, on the live run, or on the "
        "last one where it was lost or failed.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage or bad input, 3 no training environment, 130 detached by Ctrl-C. "
        "CODEX_TUI_HOME overrides the XDG folders.",
    )
    root.add_argument("--version", action="version", version=f"codex-tui {__version__}")
    add_low_bandwidth_option(root)
    root.set_defaults(low_bandwidth=None)
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"codex_tui.commands.{name}").add(subparsers)
    return root


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code. No traceback is shown for a person's mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    os.umask(0o077)  # runs, profiles and settings are their owner's alone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding is no reason to say nothing at all
            stream.reconfigure(errors="replace")
    try:
        if not arguments:
            from codex_tui.commands.open_app import open_live_run

            return open_live_run()
        chosen = parser().parse_args(arguments)
        if not hasattr(chosen, "run"):
            from codex_tui.commands.open_app import open_live_run

            return open_live_run(chosen.low_bandwidth)
        code = int(chosen.run(chosen))
        sys.stdout.flush()  # here, where it can still be told that it does not work
        return code
    except CodexError as error:
        return _told(error)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        _let_output_go()
        return FAILED
    except OSError as error:  # a full disk, a file that can't be read
        if error.filename is None and error.errno == errno.ENOSPC:  # our own files are named
            error.filename = "the output"
            _let_output_go()
        return _told(of_system(error))
    except KeyboardInterrupt:
        print("", file=sys.stderr)  # noqa: T201
        return 130


def _let_output_go() -> None:
    """What is printed can't be written; Python would try, and complain, once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: CodexError) -> int:
    from codex_tui.base.text import clean

    print(f"codex-tui: {clean(error, newlines=True)}", file=sys.stderr)  # noqa: T201
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
