"""A profile file while a person edits it: its text, the steps to undo, and the changes by other programs.

Nothing is overwritten silently: a save raises if the file has changed since it was read.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

from codex_tui.base import locations, toml_text
from codex_tui.base.errors import BadInput, CodexError, hint_for_failed_write
from codex_tui.base.toml import MAX_BYTES, format_literal, parse_toml, parse_value
from codex_tui.base.toml_positions import BOM
from codex_tui.profiles.problems import find_table
from codex_tui.profiles.resolve import Resolved, make_paths_absolute, resolve
from codex_tui.profiles.schema import read_schema
from training.contract import files

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ChangedOnDisk(CodexError):
    """The file has changed since it was read. `gone`: it was deleted."""

    def __init__(self, path: Path, gone: bool) -> None:
        self.gone = gone
        change = "was deleted" if gone else "was changed by another program"
        super().__init__(f"{path.name} {change} since it was opened here.", "Nothing has been written.")


class Draft:
    """The text of one profile. `path` is its file, which does not exist yet if `is_new`.

    `source` is the shipped profile that a new one extends.
    """

    def __init__(self, path: Path, text: str, disk: bytes | None, source: Path | None = None) -> None:
        self.path = path
        self.source = source
        self._disk = disk
        self._saved = text
        self._texts = [text]
        self._at = 0
        self._resolved: tuple[str, Resolved] | None = None  # a text and its values
        self._changed_parents: set[Path] = set()  # not reported yet

    @classmethod
    def open(cls, path: Path) -> Draft:
        """Open the profile at `path`. Raises BadInput if the file can't be read."""
        disk = _read(path)
        return cls(path, _decode(path, disk), disk)

    @classmethod
    def extending(cls, source: Path) -> Draft:
        """Return a new user profile that extends `source`."""
        path = locations.user_profiles() / f"{find_free_name(f'my-{source.stem}')}.toml"
        title = resolve(_decode(source, _read(source)), source).values["title"] or source.stem
        text = tomli_w.dumps({"extends": source.stem, "title": f"{title}, my own"})
        return cls(path, text, None, source)

    @property
    def text(self) -> str:
        return self._texts[self._at]

    @property
    def is_new(self) -> bool:
        return self._disk is None

    @property
    def dirty(self) -> bool:
        return self.text != self._saved

    @property
    def can_undo(self) -> bool:
        return self._at > 0

    @property
    def resolved(self) -> Resolved:
        """The values of the text, with all its problems."""
        if self._resolved is None or self._resolved[0] != self.text:
            return self._resolve_again()
        return self._resolved[1]

    def _resolve_again(self) -> Resolved:
        """Resolves the text, and notes which of the files that it extends have changed since the last time."""
        resolved = self.resolve(self.text)
        if self._resolved is not None:
            before, now = self._resolved[1], resolved
            if before.values["extends"] == now.values["extends"]:
                paths = {*before.parents, *now.parents}
                self._changed_parents |= {path for path in paths if before.parents.get(path) != now.parents.get(path)}
        self._resolved = (self.text, resolved)
        return resolved

    def resolve(self, text: str) -> Resolved:
        return resolve(text.removeprefix(BOM), self.path)

    def reread_parents(self) -> list[Path]:
        """Reads the files again that this one extends. Returns those that have changed since the last call."""
        self._resolve_again()
        changed, self._changed_parents = self._changed_parents, set()
        return sorted(changed)

    @property
    def own(self) -> dict[str, Any]:
        """The fields that this file itself sets, with its values."""
        return _read_fields(self.text)

    @property
    def changed(self) -> frozenset[str]:
        """The fields whose values in this file have changed since it was saved."""
        now, before = self.own, _read_fields(self._saved)
        return frozenset(path for path in {*now, *before} if repr(now.get(path)) != repr(before.get(path)))

    def with_value(self, path: str, text: str | None) -> str:
        """Return the text with the field `path` set to the TOML value `text`; None unsets it. Raises CannotEdit."""
        comment = read_schema()[path].comment if "." in path else []
        expected = self.own
        try:
            if text is None:
                new = toml_text.take(self.text, path, comment)
                expected.pop(path)
            else:
                new = toml_text.put(self.text, path, text, comment, list(read_schema()))
                expected[path] = parse_value(text)
            is_correct = repr(sorted(_read_fields(new).items())) == repr(sorted(expected.items()))
        except (ValueError, LookupError, AssertionError, RecursionError):
            is_correct = False
        if not is_correct:  # every edit is parsed again before it is used
            broken = any(not problem.field for problem in self.resolved.problems)
            subject = "This file has mistakes" if broken else f"{path} is written in a way"
            raise toml_text.CannotEdit(f"{subject} that only a text editor can change")
        return new

    def set(self, path: str, text: str | None) -> None:
        """Set the field `path` to the TOML value `text`; None unsets it. Raises CannotEdit."""
        now = self.own.get(path)
        if (text is None and now is None) or (text is not None and repr(now) == repr(parse_value(text))):
            return
        self._push(self.with_value(path, text))

    def undo(self) -> None:
        self._at = max(0, self._at - 1)

    def redo(self) -> None:
        self._at = min(len(self._texts) - 1, self._at + 1)

    def changed_on_disk(self) -> bool:
        if self._disk is None:
            return False
        try:
            return files.read(self.path, MAX_BYTES) != self._disk
        except OSError:
            return True

    def reload(self) -> None:
        """Read the file again; undo restores the text from before. Raises BadInput."""
        disk = _read(self.path)
        text = _decode(self.path, disk)
        self._disk, self._saved = disk, text
        if text != self.text:
            self._push(text)

    def save(self, *, overwrite: bool = False) -> None:
        """Write the file in one step. Raises ChangedOnDisk unless `overwrite`, and BadInput."""
        if not overwrite and self.changed_on_disk():
            raise ChangedOnDisk(self.path, not self.path.exists())
        _write(self.path, self.text)
        self._is_saved()

    def save_as(self, name: str) -> None:
        """Save the text as the user profile `name`, in which relative paths mean the same files, and continue with that
        file. Raises BadInput if there is such a profile already.
        """
        path = choose_new_path(name)
        moved = self.format_for_folder(path.parent)
        _write(path, moved)
        if moved != self.text:
            self._push(moved)
        self.path, self.source = path, None
        self._is_saved()

    def format_for_folder(self, folder: Path) -> str:
        """Return the text for a file in `folder`, with the paths relative to this file made absolute. Raises BadInput
        if such a path is written in a way that can't be changed."""
        texts = {field: value for field, value in self.own.items() if isinstance(value, str)}
        there = make_paths_absolute(texts, folder)
        moved = Draft(self.path, self.text, None)
        try:
            for field, value in make_paths_absolute(texts, self.path.parent).items():
                if value != there[field]:
                    moved.set(field, format_literal(value))
        except toml_text.CannotEdit as error:
            raise BadInput(f"{error}; it is relative to {self.path.parent}.") from None
        return moved.text

    def _is_saved(self) -> None:
        self._disk, self._saved = self.text.encode(), self.text
        self._resolve_again()

    def _push(self, text: str) -> None:
        del self._texts[self._at + 1 :]
        self._texts.append(text)
        self._at += 1


def duplicate(path: Path, name: str) -> Path:
    """Copy the file, with its comments, to the user profile `name`, in which relative paths mean the same files. Raises
    BadInput."""
    copy = choose_new_path(name)
    _write(copy, Draft(path, _decode(path, _read(path)), None).format_for_folder(copy.parent))
    return copy


def explain_bad_name(name: str) -> str:
    """Explain why a new user profile can't have this name; "" if it can."""
    name = name.strip().removesuffix(".toml")
    if not NAME.fullmatch(name):
        return "A name has letters, digits, dots, dashes and underscores, at most 64."
    if (locations.shipped_profiles() / f"{name}.toml").exists():
        return f"{name} is a shipped profile, which this one would hide. Choose another name."
    path = locations.user_profiles() / f"{name}.toml"
    return f"There is a profile called {name} already." if path.exists() or path.is_symlink() else ""


def choose_new_path(name: str) -> Path:
    """Return the path for a new user profile. Raises BadInput if the name is bad or the folder can't be made."""
    if wrong := explain_bad_name(name):
        raise BadInput(wrong)
    folder = locations.user_profiles()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} can't be made: {error.strerror}.", hint_for_failed_write(error)) from None
    return folder / f"{name.strip().removesuffix('.toml')}.toml"


def find_free_name(name: str) -> str:
    """Return `name`, or the first of `name-2`, `name-3`, ... that no user profile has."""
    number, free = 1, name
    while (locations.user_profiles() / f"{free}.toml").exists():
        number += 1
        free = f"{name}-{number}"
    return free


def _write(path: Path, text: str) -> None:
    try:
        target = path.resolve()  # write to the target of a symbolic link
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o600
        files.write_atomically(target, text)
        target.chmod(mode)
    except UnicodeEncodeError:
        raise BadInput(f"{path} can't be written: it has a character that UTF-8 does not have.") from None
    except (OSError, RuntimeError) as error:
        raise BadInput(
            f"{path} can't be written: {getattr(error, 'strerror', error)}.", hint_for_failed_write(error)
        ) from None


def _read(path: Path) -> bytes:
    try:
        return files.read(path, MAX_BYTES)
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}.") from None


def _decode(path: Path, disk: bytes) -> str:
    try:
        return disk.decode()
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text.", "Save it as UTF-8 in a text editor.") from None


def _read_fields(text: str) -> dict[str, Any]:
    """Return each field that the text sets, by its path; nothing if the text is not TOML."""
    try:
        return dict(_iterate_fields(parse_toml(text.removeprefix(BOM))))
    except ValueError:
        return {}


def _iterate_fields(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and (not path or find_table((*path, name))):
            yield from _iterate_fields(value, (*path, name))
        else:
            yield ".".join((*path, name)), value
