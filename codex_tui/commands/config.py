"""The command `config`: shows and changes the settings of the person, in settings.toml."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from codex_tui.base.errors import DONE, BadInput


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "config",
        help="show and change the settings of the app",
        description="Without KEY, lists all settings. With KEY, prints its value; with VALUE, changes it in "
        "settings.toml and nothing else in that file.",
        epilog="Example: codex-tui config app.theme light",
    )
    parser.add_argument("key", metavar="KEY", nargs="?", help="a setting, such as app.theme")
    parser.add_argument("value", metavar="VALUE", nargs="?", help="the new value: TOML, or a text without quotes")
    parser.add_argument("--unset", action="store_true", help="remove KEY from the file, so that its default counts")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_config)


def run_config(args: argparse.Namespace) -> int:
    from codex_tui.base import settings
    from codex_tui.base.settings_schema import SECRETS, find_help, generalize
    from codex_tui.base.text import clean

    if args.key is None and args.unset:
        raise BadInput("--unset needs a setting.", "Name the setting: codex-tui config KEY --unset")
    if args.value is not None and args.unset:
        raise BadInput(f"{args.key} can't be set and unset at once.", "Give either a value or --unset.")
    values = settings.read_values()
    if args.key is None:
        _print_all(values, args.json)
        return DONE
    if args.key not in values and not find_help(args.key):
        raise BadInput(f"There is no setting {args.key!r}.", _suggest_setting(args.key) or settings.HINT)
    if args.value is not None and generalize(args.key) in SECRETS:
        raise BadInput(
            f"{args.key} can't be set here: the shell would keep it in its history.",
            f"Name the environment variable that has it: codex-tui config {args.key}_env NAME",
        )
    if args.value is not None or args.unset:
        from codex_tui.base.settings_change import change_setting

        change_setting(args.key, None if args.unset else _interpret(args.key, args.value))
        values = settings.read_values()
    if args.json:
        print(json.dumps({args.key: values.get(args.key)}))
    elif args.value is None and not args.unset:
        print(clean(_format(values.get(args.key))))
    return DONE


def _print_all(values: dict[str, Any], as_json: bool) -> None:
    from codex_tui.base import locations, settings_schema
    from codex_tui.base.text import clean

    if as_json:
        print(json.dumps(values, indent=2))
        return
    shown = {name: clean(_format(value)) for name, value in values.items()}
    name_width, value_width = max(map(len, shown)), max(map(len, shown.values()))
    for name, value in shown.items():
        print(f"{name:<{name_width}}  {value:<{value_width}}  {settings_schema.find_help(name)}")
    if not any(name.startswith("webhook.") for name in values):
        print("\nNo webhook is set. The first: codex-tui config webhook.phone.kind ntfy")
    print(f"\nThe file: {clean(locations.settings_file())}")


def _format(value: Any) -> str:
    from codex_tui.base.toml import format_literal

    if value is None:
        return "unset"
    return value if isinstance(value, str) else format_literal(value)


def _interpret(key: str, text: str) -> Any:
    """Return the value that a person typed. A relative path is meant from the current folder."""
    from codex_tui.base.toml import TomlError, parse_value

    if key in ("trainer.python", "llama_cpp.path"):
        return text if text.startswith("~") or not text else str(Path(text).absolute())
    try:
        return parse_value(text)
    except TomlError:
        return text


def _suggest_setting(key: str) -> str:
    from codex_tui.base import settings_schema
    from codex_tui.base.close_match import suggest

    parts = [name for name in settings_schema.HELP if key in name.split(".")]
    return f"Did you mean {' or '.join(parts)}?" if parts else suggest(key, settings_schema.HELP)
