"""The run configuration: the content of `RUN/config.json`. Every program reads and writes the file through this module.

The launcher writes the file before it starts the trainer. The trainer adds what really ran: `stack`, `actual`,
`chat_template`, `dataset_fingerprint` and `row_form`. The app reads the file to show the run, the workers to load its
model and its dataset.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from training.contract import events as ev
from training.contract import files

if TYPE_CHECKING:  # the app's first screen does not load pydantic
    from pydantic import ValidationError

    from training.contract.profile import Profile

VERSION = 1
UPDATE = "Update: pip install -U codex-tui."


class ConfigError(Exception):
    """A config.json that can't be used. `trouble` completes the sentence "config.json is …"; `message` is a whole
    sentence with the path, `hint` says what to do about it."""

    def __init__(self, path: Path, trouble: str) -> None:
        self.trouble = trouble
        self.message, self.hint = f"{path} is {trouble}.", ""
        super().__init__(self.message)


class ConfigMissing(ConfigError):
    """There is no config.json, or it can't be opened."""


class ConfigDamaged(ConfigError):
    """The file is not JSON, or a value has the wrong type. `field` is the value's dotted path, "" for the whole file.

    Example: config.json is damaged (hub.repo: Expected `str`, got `int`).
    """

    def __init__(self, path: Path, field: str = "", reason: str = "") -> None:
        self.field = field
        super().__init__(path, f"damaged ({field}: {reason})" if field else "damaged")

    @classmethod
    def from_validation(cls, path: Path, table: str, error: ValidationError) -> ConfigDamaged:
        """Return the error for the first wrong value in `table`, which pydantic has validated."""
        first = error.errors()[0]
        return cls(path, ".".join((table, *map(str, first["loc"]))), first["msg"])


class ConfigTooNew(ConfigError):
    """A later version of this program wrote the file."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(path, f"of version {version}")
        self.message = describe_newer(path.absolute().parent.name, "config", version, VERSION)
        self.hint = UPDATE


class Hub(msgspec.Struct, frozen=True):
    """A dataset repository on the Hub at one commit."""

    repo: str
    revision: str


class Fingerprint(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The dataset that the run was trained on. A resume with another dataset is refused. `skipped` lists the bad rows
    with line and reason. Older trainers wrote neither `revision` nor `skipped`. With `other_kinds_refused`, rows for
    other kinds of training (KTO, DPO, images) were bad rows; older trainers learned from them."""

    sha256: str
    revision: str | None = None
    rows: int | None = None
    train_rows: int | None = None
    eval_rows: int | None = None
    dropped_rows: int | None = None
    truncated_rows: int | None = None
    skipped: list[str] | None = None
    other_kinds_refused: bool = False


class RowForm(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The form of the rows that a run learned from. Its chat and its samples use the same form.

    With `text`, the rows are plain text without a chat template. `system_prompt` is the system message of most rows,
    `max_tokens` the number of tokens of the longest row.
    """

    text: bool = False
    system_prompt: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None


class RunConfig(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The settings of a run, and what really ran. A key without a value is not written to the file."""

    version: int = VERSION
    name: str = ""
    created: float | None = None  # Unix seconds
    app_version: str = ""
    profile_name: str = ""
    profile: dict[str, Any]  # the resolved profile with every default; see `read_with_profile`
    overrides: dict[str, Any] = {}  # from --set, by dotted field name; they are part of `profile` already
    until: float | None = None  # Unix seconds: the adapter must be saved by then
    dataset: str
    files: list[str] | None = None  # of the dataset; None for the shipped sample and for runs of the first versions
    eval_files: list[str] = []  # of the dataset's validation split; [] where evaluation rows are held out of `files`
    hub: Hub | None = None
    python: str = ""  # the interpreter of the trainer; only information, since a copied run must not start a program
    forecast_mib: float | None = None  # of the card at launch, which a parked run needs free to come back
    planned_tokens: int | None = None  # that the launcher expects it to train on, which tells about how long it takes
    cache: str = ""  # the cache folder of the launch; only information, see `training.contract.cache`
    stack: dict[str, str | None] = {}  # package versions; None: not installed
    actual: dict[str, Any] = {}  # the profile's tables with the values that ran
    chat_template: str = ""  # the text of the file that the profile's model.chat_template names; see `keep_template`
    dataset_fingerprint: Fingerprint | None = None
    row_form: RowForm | None = None
    healed: dict[str, Any] = {}  # what the keeper changed after a failure, by dotted field name; `profile` stays
    unknown: dict[str, Any] = {}  # the file's other keys, which are written back unchanged

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """Read the config.json at `path`. Raises ConfigError."""
        values = _read_json(path)
        version = values.get("version", VERSION)
        if isinstance(version, int) and version > VERSION:
            raise ConfigTooNew(path, version)
        known = {key: value for key, value in values.items() if key in _KEYS}
        try:
            config = msgspec.convert(known, cls)
        except msgspec.ValidationError as error:
            raise ConfigDamaged(path, *_locate(error)) from None
        except (ValueError, OverflowError, RecursionError):  # a number or a nesting beyond all limits
            raise ConfigDamaged(path) from None
        config.unknown = {key: value for key, value in values.items() if key not in _KEYS}
        return config

    @classmethod
    def read_with_profile(cls, path: Path) -> tuple[RunConfig, Profile]:
        """Read the config.json at `path` and validate its profile, with the values that the keeper changed after a
        failure. Raises ConfigError."""
        from pydantic import ValidationError

        from training.contract.profile import Profile

        config = cls.read(path)
        try:
            return config, Profile.model_validate(_apply(config.healed, _keep_old_defaults(config.profile)))
        except ValidationError as error:
            raise ConfigDamaged.from_validation(path, "profile", error) from None

    @property
    def trained_on_gpu(self) -> bool:
        """Whether the last trainer of the run used a GPU. False before it has begun to train."""
        return str(get_table(self.actual, "hardware").get("device", "")).startswith("cuda")

    @property
    def park_ends(self) -> str:
        """What ends a hold that a person asks for, in a sentence."""
        return ev.BY_HAND_OR_LEFT if get_table(self.profile, "keeper").get("resume_lent") is True else ev.BY_HAND

    def find_row_form(self) -> RowForm:
        """Return the form that the trainer recorded. Before that, and for a run of an older trainer, return what the
        profile tells."""
        if self.row_form is not None:
            return self.row_form
        dataset = get_table(self.profile, "dataset")
        prompt = dataset.get("system_prompt")
        is_text = isinstance(dataset.get("text_column"), str)
        return RowForm(text=is_text, system_prompt=prompt if isinstance(prompt, str) and not is_text else None)

    def write(self, path: Path) -> None:
        """Replace the file at `path` in one step. Raises OSError, or UnicodeEncodeError for a path that is no UTF-8."""
        files.write_atomically(path, self.to_json())

    def to_json(self) -> str:
        values = msgspec.to_builtins(self)
        values |= values.pop("unknown", {})
        return json.dumps({"version": self.version, **values}, indent=2, ensure_ascii=False) + "\n"


_KEYS = frozenset(RunConfig.__struct_encode_fields__) - {"unknown"}


INNER_TABLES = frozenset({"launch.slurm", "launch.ssh"})
"""The tables of a profile that are inside another one."""

# What a run did before its profile had the field. A resume must go on as the run began.
_BEFORE_THE_FIELD = {"dataset": {"learn": "last_answer"}, "training": {"packing": "off"}}


def _keep_old_defaults(profile: dict[str, Any]) -> dict[str, Any]:
    """Return the profile of a run, with the fields that its program did not have yet as that program behaved."""
    tables = {name: profile.get(name, {}) for name in _BEFORE_THE_FIELD}
    return profile | {
        name: _BEFORE_THE_FIELD[name] | table for name, table in tables.items() if isinstance(table, dict)
    }


def _apply(changes: dict[str, Any], profile: dict[str, Any]) -> dict[str, Any]:
    """Return `profile` with the values of `changes`, which are by dotted field name."""
    changed = dict(profile)
    for field, value in changes.items():
        table, _, rest = field.partition(".")
        inner = get_table(changed, table)
        changed[table] = _apply({rest: value}, inner) if "." in rest else inner | {rest: value}
    return changed


def get_table(owner: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the table `key` of `owner`, such as a profile; {} if there is none or it is not a table."""
    value = owner.get(key)
    return value if isinstance(value, dict) else {}


def list_tables(profile: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """List the tables of a resolved profile by their dotted names, each without the tables inside it."""
    for name, table in profile.items():
        if isinstance(table, dict):
            inner = {key: get_table(table, key) for key in table if f"{name}.{key}" in INNER_TABLES}
            yield name, {key: value for key, value in table.items() if key not in inner}
            yield from ((f"{name}.{key}", fields) for key, fields in inner.items())


def describe_newer(run: str, part: str, version: int, known: int) -> str:
    """Return the message for a run that a later version of this program wrote. `part` is config or events."""
    return f"{run} was written by a newer Codex TUI ({part} version {version}, this one knows {known})."


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(files.read(path))
    except FileNotFoundError:
        raise ConfigMissing(path, "missing") from None
    except OSError as error:
        trouble = f"not readable ({error.strerror})" if path.is_file() else "not a file"
        raise ConfigMissing(path, trouble) from None
    except (ValueError, RecursionError):
        raise ConfigDamaged(path) from None
    if not isinstance(values, dict):
        raise ConfigDamaged(path)
    return values


def _locate(error: msgspec.ValidationError) -> tuple[str, str]:
    """The dotted path of the value that `error` is about, and the reason."""
    reason, _, place = str(error).partition(" - at `$.")
    if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
        return ".".join(filter(None, (place.rstrip("`"), missing[1]))), "missing"
    return place.rstrip("`"), reason
