"""The command `completion`: a script that lets the shell complete commands, options, profiles and runs.

The shell runs `codex-tui` for each completion. `completion_values.py` answers it.
"""

from __future__ import annotations

import argparse
from typing import Any

from codex_tui.base.errors import DONE

SHELLS = ("bash", "zsh", "fish")
INSTALL = """To install it:
  bash  add to ~/.bashrc:                  eval "$(codex-tui completion bash)"
  zsh   add to ~/.zshrc, below compinit:   eval "$(codex-tui completion zsh)"
  fish  codex-tui completion fish > ~/.config/fish/completions/codex-tui.fish
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "completion",
        help="print a script that completes commands, profiles and runs in your shell",
        description="Prints a script for your shell. It completes commands, options, profiles, fields,\nsettings and "
        "the names of runs.",
        epilog=INSTALL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run_completion)


def run_completion(args: argparse.Namespace) -> int:
    import argcomplete

    print(argcomplete.shellcode(["codex-tui"], True, args.shell))
    return DONE
