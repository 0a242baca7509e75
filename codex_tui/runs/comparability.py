"""Says why the losses of runs can't be compared: other data, other held-out rows, or other learned tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from string import ascii_uppercase
from typing import Literal, NamedTuple

from codex_tui.base.text import clean, pluralize
from codex_tui.runs.compared_settings import ComparedSettings, find_differences, format_setting

Kind = Literal["dataset", "held-out rows", "learned tokens", "base model"]

_TOKEN_FIELDS = (
    "dataset.learn",
    "dataset.instruction_column",
    "dataset.response_column",
    "dataset.context_column",
    "dataset.messages_column",
    "dataset.text_column",
    "model.chat_template",
)
"""The fields that decide which tokens of a row are learned."""
_OTHER_TOKENS = "Their losses count other tokens."


class Group(NamedTuple):
    """Runs that are alike in one respect. `description` says in what, as clean text; "not known" if nothing tells."""

    description: str
    runs: tuple[int, ...]


class Reason(NamedTuple):
    """One reason why the losses of the runs can't be compared. `groups` divides the runs by what differs."""

    kind: Kind
    subject: str
    consequence: str
    groups: tuple[Group, ...]

    def describe(self, names: Sequence[str]) -> str:
        """Return the reason as text. `names` are the names of all runs, or their letters."""
        groups = "; ".join(f"{', '.join(names[run] for run in runs)}: {text}" for text, runs in self.groups)
        return f"{self.subject} ({groups}). {self.consequence}"


def name_by_letter(count: int) -> list[str]:
    """Return a short name for each of `count` runs: A to Z, then A2, B2, and so on."""
    turns = ((number // 26, ascii_uppercase[number % 26]) for number in range(count))
    return [f"{letter}{turn + 1 if turn else ''}" for turn, letter in turns]


def find_reasons(runs: Sequence[ComparedSettings]) -> list[Reason]:
    """Find all reasons why the losses of `runs` can't be compared. Returns [] if they can."""
    return [*_find_reasons(runs)]


def _find_reasons(runs: Sequence[ComparedSettings]) -> Iterator[Reason]:
    data = _group(runs, _identify_dataset)
    if len(data) > 1 or data[0].description == _NOT_KNOWN:
        consequence = (
            "A loss on other rows measures another task."
            if sum(group.description != _NOT_KNOWN for group in data) > 1
            else "Only a run that began to train has recorded its rows."
        )
        yield Reason("dataset", "The data differ" if len(data) > 1 else "The data", consequence, data)
    held_out = _group(runs, _identify_held_out_rows)
    if len(held_out) > len(data):
        yield Reason(
            "held-out rows",
            "The held-out rows differ",
            "An evaluation loss on other rows does not tell which run is better.",
            held_out,
        )
    for name in find_differences([run.values for run in runs]):
        if name in _TOKEN_FIELDS:
            groups = _group(runs, partial(_identify_setting, name=name))
            yield Reason("learned tokens", f"{name} differs", _OTHER_TOKENS, groups)
    cuts = _group(runs, _identify_cut)
    if sum(group.description != _NOT_KNOWN for group in cuts) > 1:
        yield Reason("learned tokens", "The lengths of the rows differ", _OTHER_TOKENS, cuts)
    models = _group(runs, _identify_model)
    if sum(group.description != _NOT_KNOWN for group in models) > 1:
        consequence = "Unless their tokenizers are the same, their losses count other tokens."
        yield Reason("base model", "The base models differ", consequence, models)


_NOT_KNOWN = "not known"
_Identity = tuple[Hashable, str] | None  # what is equal for runs that are alike, and how to describe it


def _group(runs: Sequence[ComparedSettings], identify: Callable[[ComparedSettings], _Identity]) -> tuple[Group, ...]:
    """Divide the runs by their identity, in the order of the runs. Those without one are in one group."""
    groups: dict[Hashable, tuple[str, list[int]]] = {}
    for number, run in enumerate(runs):
        key, description = identify(run) or (None, _NOT_KNOWN)
        groups.setdefault(key, (description, []))[1].append(number)
    return tuple(Group(description, tuple(numbers)) for description, numbers in groups.values())


def _identify_dataset(run: ComparedSettings) -> _Identity:
    found = run.fingerprint
    if found is None:
        return None
    name = clean(str(run.values.get("dataset.path", ""))).rstrip("/").rpartition("/")[2]
    rows = "" if found.rows is None else f", {pluralize(found.rows, 'row')}"
    return found.sha256, f"{name}{rows}, sha256 {clean(found.sha256[:8])}"


def _identify_held_out_rows(run: ComparedSettings) -> _Identity:
    """The seed chooses the held-out rows, among all rows or among those of a validation split."""
    found = run.fingerprint
    if found is None or found.eval_rows is None:
        return None
    if not found.eval_rows:
        return (found.sha256, 0), "none"
    seed = run.values.get("training.seed")
    split = " of the validation split" if run.has_validation_split else ""
    key = (found.sha256, found.eval_rows, seed, run.has_validation_split)
    return key, f"{pluralize(found.eval_rows, 'row')}{split}, seed {format_setting(seed)}"


def _identify_setting(run: ComparedSettings, name: str) -> _Identity:
    if name not in run.values:
        return None
    text = format_setting(run.values[name])
    return text, text


def _identify_cut(run: ComparedSettings) -> _Identity:
    """Rows that are whole are alike, whatever the limit. Cut rows depend on the limit; the number of dropped rows tells
    which ones they are."""
    found = run.fingerprint
    if found is None or found.truncated_rows is None:
        return None
    cut, dropped = found.truncated_rows, found.dropped_rows or 0
    if not cut and not dropped:
        return (None, 0, 0), "all rows whole"
    limit = format_setting(run.values.get("model.max_seq_length"))
    lost = [f"{pluralize(count, 'row')} {verb}" for count, verb in ((cut, "cut"), (dropped, "left out")) if count]
    return (limit if cut else None, cut, dropped), f"{', '.join(lost)} at {limit} tokens"


def _identify_model(run: ComparedSettings) -> _Identity:
    name = run.base_model
    return (name.casefold(), clean(name)) if name else None
