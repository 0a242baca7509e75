"""Changes one value in settings.toml and keeps every other byte of the file."""

from __future__ import annotations

from typing import Any

from codex_tui.base import locations, settings, settings_schema
from codex_tui.base.errors import BadInput, convert_os_error
from codex_tui.base.toml import format_literal
from codex_tui.base.toml_positions import find_positions
from codex_tui.base.toml_text import CannotEdit, put, take
from training.contract import files


def change_setting(name: str, value: Any) -> None:
    """Set the setting with the dotted name `name`. None removes it from the file.

    Raises BadInput if the value is wrong or the file is damaged, CodexError if the file can't be written. The file is
    then as it was.
    """
    settings.load()  # raises for a damaged file, which stays as it is
    text = settings.read_text()
    try:
        if value is not None:
            new = put(text, name, format_literal(value), [], [])
        else:
            new = take(text, name, []) if name in find_positions(text).entries else text
        settings_schema.parse(new)
    except settings_schema.BadSetting as error:
        raise BadInput(f"{name}: {error.problem}.", settings.HINT) from None
    except CannotEdit as error:
        raise BadInput(f"{name} can't be changed: {error}.", f"Edit it by hand: {locations.settings_file()}") from None
    if new != text:
        path = locations.settings_file().resolve()  # a link, for example into a folder of dotfiles, stays one
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_atomically(path, new)
        except OSError as error:
            raise convert_os_error(error) from None
