"""`codex-tui` and its commands. A command imports what it needs when it runs, so that the app opens at once."""

from __future__ import annotations

import errno
import io
import os
import sys

from codex_tui.base.errors import FAILED, CodexError, convert_os_error
from training.contract import telemetry


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code. A person's mistake shows no traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    telemetry.opt_out()
    os.umask(0o077)  # only the owner may read runs, profiles and settings
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal with another encoding shows "?" instead of an error
            stream.reconfigure(errors="replace")
    try:
        if not arguments and "_ARGCOMPLETE" not in os.environ:
            from codex_tui.commands.open_app import open_live_run

            return open_live_run()
        from codex_tui.commands.parser import make_parser  # slow to import

        if "_ARGCOMPLETE" in os.environ:
            from codex_tui.commands.completion_values import print_completions

            print_completions(make_parser())
        args = make_parser(arguments[0] if arguments else "").parse_args(arguments)
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
