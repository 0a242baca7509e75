"""The remotes: machines that a person has added under a name, in remotes.toml of the config folder.

[box]
host = "me@203.0.113.7"
root = "/home/me/codex-tui"
python = "/opt/conda/bin/python"
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import msgspec

from codex_tui.base import locations
from codex_tui.base.close_match import suggest
from codex_tui.base.errors import BadInput, convert_os_error
from codex_tui.base.toml import TomlError, parse_toml
from codex_tui.base.toml_positions import find_lines
from codex_tui.engines.ssh.remote import host
from training.contract import files
from training.contract.engine import EngineName

MAX_BYTES = 2**20
ENGINES: tuple[EngineName, ...] = get_args(EngineName)  # `--on NAME` takes these words too
NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,39}"
PATH = r"/[^\x00-\x1f\x7f]*"
HINTS = {
    "name": "A name has letters, digits, - and _: codex-tui remote add box me@203.0.113.7",
    "host": host.HINT,
    "root": "'root' is a path over there that begins with /.",
    "python": "'python' is a path over there that begins with /.",
}


class Remote(NamedTuple):
    """A machine to train on. `root` is the folder of the app over there, its CODEX_TUI_HOME: everything is in it.
    `python` is the Python that trains over there; "" means that the remote's `codex-tui setup` builds one."""

    name: str
    host: str
    root: str
    python: str = ""

    @property
    def uv_folders(self) -> dict[str, str]:
        """The variables that keep what uv downloads in `root`, because a home folder may be small."""
        return {"UV_CACHE_DIR": f"{self.root}/cache/uv", "UV_PYTHON_INSTALL_DIR": f"{self.root}/python"}


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    host: Annotated[str, msgspec.Meta(pattern=f"^{host.HOST}$")]
    root: Annotated[str, msgspec.Meta(pattern=f"^{PATH}$")]
    python: Annotated[str, msgspec.Meta(pattern=f"^({PATH})?$")] = ""


def remotes_file() -> Path:
    return locations.config_home() / "remotes.toml"


def read_remotes() -> dict[str, Remote]:
    """Return the remotes by their names, in the order of the file. Raises BadInput for a damaged file."""
    path = remotes_file()
    try:
        text = files.read(path, MAX_BYTES).decode()
        tables = parse_toml(text)
    except FileNotFoundError:
        return {}
    except TomlError as error:
        raise BadInput(f"{path}, line {error.line}: {error.message}.", "Correct the line.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}, line {line}: not UTF-8.", "Correct the line.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Correct or remove it.") from None
    return {name: _read_table(path, text, name, table) for name, table in tables.items()}


def is_path(text: str) -> bool:
    """Whether `text` can be a path over there. It is never looked up here."""
    return bool(re.fullmatch(PATH, text))


def find_remote(name: str) -> Remote:
    """Return the remote `name`. Raises BadInput, with the names that there are, if there is none."""
    remotes = read_remotes()
    if name in remotes:
        return remotes[name]
    hint = suggest(name, remotes) if remotes else ""
    raise BadInput(f"There is no remote {name!r}.", hint or f"Add it: codex-tui remote add {_propose(name)} me@HOST")


def check_name(name: str) -> None:
    """Raise BadInput unless a remote can be called `name`."""
    if not re.fullmatch(NAME, name):
        raise BadInput(f"{name!r} can't be the name of a remote.", HINTS["name"])
    if name in ENGINES:
        raise BadInput(f"A remote can't be called {name}: `--on {name}` means something else.", HINTS["name"])


def add_remote(remote: Remote) -> None:
    """Write `remote` into the file. It takes the place of one with the same name."""
    with _change_file() as remotes:
        remotes[remote.name] = remote


def remove_remote(name: str) -> None:
    with _change_file() as remotes:
        remotes.pop(name, None)


def _read_table(path: Path, text: str, name: str, table: Any) -> Remote:
    """Raises BadInput with the line of `text`, which is the file."""
    if not re.fullmatch(NAME, name) or name in ENGINES:
        line = find_lines(text).get(name, 1)
        raise BadInput(f"{path}, line {line}: {name!r} can't be the name of a remote.", HINTS["name"])
    try:
        return Remote(name, *msgspec.structs.astuple(msgspec.convert(table, _Table)))
    except msgspec.ValidationError as error:
        field = (re.search(r"\$\.(\w+)|field `(\w+)`", str(error)) or [""])[0].strip("$.`").removeprefix("field `")
        lines = find_lines(text)
        line = lines.get(f"{name}.{field}", lines.get(name, 1))
        problem = f"{field or 'the table'} of [{name}] is wrong or missing."
        raise BadInput(f"{path}, line {line}: {problem}", HINTS.get(field, "")) from None


@contextmanager
def _change_file() -> Iterator[dict[str, Remote]]:
    """Yield the remotes of the file, and write them as the caller has changed them. One process at a time does it."""
    import tomli_w

    path = remotes_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_name(".remotes.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            remotes = read_remotes()  # raises for a damaged file, which stays as it is
            yield remotes
            tables = {name: _make_table(remote) for name, remote in remotes.items()}
            files.write_atomically(path, tomli_w.dumps(tables))
    except OSError as error:
        raise convert_os_error(error) from None


def _make_table(remote: Remote) -> dict[str, str]:
    return {field: value for field, value in remote._asdict().items() if value and field != "name"}


def _propose(name: str) -> str:
    return name if re.fullmatch(NAME, name) and name not in ENGINES else "box"
