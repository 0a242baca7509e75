"""The commands `profile list`, `show`, `check`, `explain` and `schema`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import BAD_INPUT, DONE
from codex_tui.commands.options import add_group, add_set_option

if TYPE_CHECKING:
    from codex_tui.profiles.problems import ProfileProblem
    from codex_tui.profiles.schema import FieldSchema
    from training.contract.profile import Profile

MAX_FIELDS_ABOUT = 5  # that are named for a word such as "rank"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "profile",
        help="list, show, check or explain profiles",
        description="Profiles say what a fine-tune does. Some are shipped; yours are in the folder of your settings.",
    )
    actions = add_group(parser)

    listing = actions.add_parser(
        "list",
        help="list your profiles and the shipped ones",
        description="Lists your profiles and the shipped ones, with the title or the number of problems of each.",
    )
    listing.set_defaults(run=run_list)
    show = actions.add_parser(
        "show",
        help="print a profile; with --json or --set, with every field resolved",
        description="Prints the file of a profile. With --json or --set, prints every field with the value that a run "
        "would have.",
    )
    show.set_defaults(run=run_show)
    check = actions.add_parser(
        "check",
        help="report everything that is wrong with a profile",
        description="Names the field and line of everything that is wrong. Exits with 2 if something is wrong.",
    )
    check.set_defaults(run=run_check)
    explain = actions.add_parser(
        "explain",
        help="explain a field: its values, cost and benefit; without FIELD, list all",
        description="Explains a field of a profile: its values, its cost and benefit, and an example. Without FIELD, "
        "lists all fields.",
    )
    explain.add_argument(
        "field", metavar="FIELD", nargs="?", help="such as lora.r; r alone is enough if only one field has that name"
    )
    explain.set_defaults(run=run_explain)
    schema = actions.add_parser(
        "schema",
        help="print the JSON Schema of a profile, for text editors",
        description="Prints the JSON Schema of a profile. A text editor completes and checks the fields with it.",
    )
    schema.set_defaults(run=run_schema)
    for action in (show, check):
        action.add_argument("profile", metavar="PROFILE", help="a profile's name or file")
        add_set_option(action)
    for action in (listing, show, check, explain):
        action.add_argument("--json", action="store_true", help="print JSON, for scripts")


def run_list(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean, pluralize
    from codex_tui.profiles.library import list_profiles

    entries = list_profiles()
    if args.json:
        keys = ("name", "title", "shipped")
        print(json.dumps([{**{k: getattr(e, k) for k in keys}, "path": str(e.path), "ok": not e.problems}
                          for e in entries], indent=2))  # fmt: skip
        return DONE
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        origin = "shipped" if entry.shipped else "yours"
        base = f"extends {entry.profile.extends}" if entry.profile and entry.profile.extends else ""
        says = f"✗ {pluralize(len(entry.problems), 'problem')}" if entry.problems else entry.title or base
        print(clean(f"{entry.name:<{width}}  {origin:<7}  {says}"))
    return DONE


def run_show(args: argparse.Namespace) -> int:
    from codex_tui.base.secrets import redact
    from codex_tui.base.text import clean
    from codex_tui.base.toml import MAX_BYTES
    from codex_tui.profiles.comments import format_with_comments
    from codex_tui.profiles.library import find_profile, require_profile
    from codex_tui.profiles.overrides import parse_overrides
    from codex_tui.profiles.resolve import resolve
    from training.contract import files

    path = find_profile(args.profile)
    overrides = parse_overrides(args.set)
    if args.json:
        print(json.dumps(require_profile(path, overrides).model_dump(mode="json"), indent=2))
        return DONE
    text = files.read(path, MAX_BYTES).decode(errors="replace")
    resolved = resolve(text, path, overrides)
    if overrides:
        require_profile(path, overrides)
        text = format_with_comments(resolved.values)
    elif resolved.parent and not resolved.problems:
        print(clean(f"# Fields that are not set here take their values from {resolved.parent}"))
    print(clean(redact(text), newlines=True).rstrip("\n"))
    require_profile(path, overrides)  # raises with the problems, below the text
    return DONE


def run_check(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.profiles.library import find_profile, read_entry
    from codex_tui.profiles.overrides import parse_overrides

    path: Path = find_profile(args.profile)
    overrides = parse_overrides(args.set)
    entry = read_entry(path, shipped=False, overrides=overrides)
    problems = entry.problems or (_compare_with_model(entry.profile, path, overrides) if entry.profile else [])
    warnings = [] if problems else _warn_of_model(entry.profile, path)
    if args.json:
        errors = [{**({"path": str(p.path)} if p.path else {}), "field": p.field, "line": p.line, "message": p.message}
                  for p in problems]  # fmt: skip
        print(json.dumps({"ok": not errors, "errors": errors, "warnings": warnings}, indent=2))
    elif problems:
        for problem in problems:
            print(clean(f"✗ {path}: {problem}"))
    else:
        print(clean(f"✓ {path} is a valid profile."))
        for warning in warnings:
            print(clean(f"! {warning['field']}: {warning['message']}"))
    return BAD_INPUT if problems else DONE


def _compare_with_model(profile: Profile, path: Path, overrides: Mapping[str, Any]) -> list[ProfileProblem]:
    """Find what does not fit the profile's model, if the model's config.json is on this machine."""
    from codex_tui.base.toml_positions import find_lines
    from codex_tui.machine.model_config import find_unknown_modules
    from codex_tui.profiles.problems import ProfileProblem
    from training.memory.model_config import find_config

    config = find_config(profile.model.name, profile.model.revision, path.parent)
    unknown = find_unknown_modules(profile, config)
    if unknown is None:
        return []
    line = None if unknown.field in overrides else find_lines(path.read_text(encoding="utf-8")).get(unknown.field)
    return [ProfileProblem(unknown.field, line, f"{unknown.problem}. {unknown.hint}")]


def _warn_of_model(profile: Profile | None, path: Path) -> list[dict[str, str]]:
    """Warn of what the profile's model can't do, if its tokenizer is on this machine."""
    from codex_tui.machine.model_config import lacks_chat_template
    from training.contract.failures import NO_CHAT_TEMPLATE, NO_CHAT_TEMPLATE_HINT

    if profile is None or profile.dataset.text_column or not lacks_chat_template(profile, path):
        return []
    message = f"{NO_CHAT_TEMPLATE} It can learn plain text only. {NO_CHAT_TEMPLATE_HINT}"
    return [{"field": "model.chat_template", "message": message}]


def run_explain(args: argparse.Namespace) -> int:
    from codex_tui.profiles.comments import format_example
    from codex_tui.profiles.schema import read_schema

    if args.json:
        fields = [find_field(args.field)] if args.field else [*read_schema().values()]
        details = [
            {
                "table": field.table,
                "name": field.name,
                "type": field.type,
                **vars(field),
                "example": format_example(field),
            }
            for field in fields
        ]
        print(json.dumps(details[0] if args.field else details, indent=2))
    elif args.field:
        _explain(find_field(args.field))
    else:
        _list_fields()
    return DONE


def _explain(schema: FieldSchema) -> None:
    from codex_tui.profiles.comments import format_example

    values = ", ".join([schema.type + (f" of {schema.unit}" if schema.unit else ""), *schema.limits])
    print(schema.path)
    print("\n".join(line.replace("#", " ", 1) for line in schema.comment))
    print(f"\n  values   {values}")
    print(f"  default  {_default(schema)}\n")
    print((f"  [{schema.table}]\n" if schema.table else "") + f"  {format_example(schema)}")


def _list_fields() -> None:
    from codex_tui.base.text import shorten
    from codex_tui.profiles.schema import read_schema, read_tables

    about = {"": "The profile itself, before its tables.", **read_tables()}
    width = max(len(schema.name) for schema in read_schema().values())
    columns = get_terminal_size((120, 24)).columns
    for table, text in about.items():
        print(f"{f'[{table}]  ' if table else ''}{text}")
        for schema in read_schema().values():
            if schema.table == table:
                print(shorten(f"  {schema.name:<{width}}  {shorten(_default(schema), 12):<12}  {schema.text}", columns))
        print()
    print("More about one field: codex-tui profile explain FIELD")


def _default(schema: FieldSchema) -> str:
    from codex_tui.base.toml import format_literal

    if schema.default is None:
        return "required" if schema.required else "unset"
    return format_literal(schema.default)


def find_field(field: str) -> FieldSchema:
    """Find the field with the dotted name `field`, or the only field with that last name. Raises BadInput."""
    from codex_tui.base.close_match import find_close_match
    from codex_tui.base.errors import BadInput
    from codex_tui.base.secrets import redact
    from codex_tui.profiles.schema import read_schema

    matches = [schema for schema in read_schema().values() if field in (schema.path, schema.name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise BadInput(
            f"{field} is in several tables.", "Name one of them: " + ", ".join(schema.path for schema in matches)
        )
    fields = read_schema().values()
    if in_table := [schema.path for schema in fields if schema.table == field]:
        raise BadInput(f"{field} is a table.", f"Name one of its fields: {', '.join(in_table)}")
    paths = {schema.path: schema.path for schema in fields} | {schema.name: schema.path for schema in fields}
    close = find_close_match(field, paths)
    word = re.compile(rf"\b{re.escape(field.replace('_', ' '))}\b", re.IGNORECASE)
    about = [schema.path for schema in fields if word.search(schema.text)][:MAX_FIELDS_ABOUT]
    if close:
        hint = f"Did you mean {paths[close]}?"
    elif about:
        hint = f"These fields are about it: {', '.join(about)}"
    else:
        hint = "List them: codex-tui profile explain"
    raise BadInput(f"A profile has no field called {redact(field)!r}.", hint)


def run_schema(_args: argparse.Namespace) -> int:
    from codex_tui.profiles.schema import build_json_schema

    print(json.dumps(build_json_schema(), indent=2))
    return DONE
