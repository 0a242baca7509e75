"""Compares runs: their results, the settings that differ, and the reasons why their losses can't be compared.

The values come from the run directories alone: the results from events.jsonl, the judgements and the folder of the
adapter, the settings from config.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple

from codex_tui.base.text import clean, format_duration, format_gb, format_size
from codex_tui.runs.comparability import Reason, find_reasons
from codex_tui.runs.compared_judgements import BookResult, group_by_book, read_book_results
from codex_tui.runs.compared_settings import (
    UNKNOWN,
    ComparedSettings,
    find_differences,
    format_setting,
    read_settings,
)
from codex_tui.runs.pass_rates import make_json
from codex_tui.runs.summary import find_best_evaluation, measure_folder
from codex_tui.runs.watched import ShownStatus, WatchedRun
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history.state import RunState, compute_elapsed

Best = Literal["lowest", "highest"]


@dataclass(frozen=True)
class Results:
    """How far one run came, and what it cost. None where the events tell nothing.

    `training_seconds` are those of the steps alone, `seconds` those of all that the trainer did. Neither counts the
    breaks between attempts. Memory is in MiB.
    """

    status: ShownStatus
    step: int = 0
    total_steps: int | None = None
    best_eval_loss: float | None = None
    best_eval_step: int | None = None
    eval_loss: float | None = None
    smoothed_loss: float | None = None
    training_seconds: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    tokens_per_second: float | None = None
    peak_gpu_mib: float | None = None
    host_mib: float | None = None
    trainable_parameters: int | None = None
    adapter_bytes: int | None = None
    judgements: tuple[BookResult, ...] = ()
    pass_rate: ev.PassRate | None = None  # the last one

    @property
    def unfinished_total(self) -> int | None:
        """The planned steps of a run that has not taken all of them."""
        return self.total_steps if self.total_steps != self.step else None


class Row(NamedTuple):
    """One row of the table: a text for each run, and the runs with the best value."""

    title: str
    texts: tuple[str, ...]
    best: frozenset[int] = frozenset()


class ComparedRun(NamedTuple):
    name: str  # raw
    settings: ComparedSettings
    results: Results

    def as_json(self) -> dict[str, Any]:
        values = asdict(self.results)
        values["pass_rate"] = make_json(self.results.pass_rate) if self.results.pass_rate else None
        values = {key: round(value, 3) if key in _TIMES and value else value for key, value in values.items()}
        return {"name": self.name, "state": values.pop("status"), "trouble": self.settings.trouble, **values}


@dataclass(frozen=True)
class Comparison:
    runs: tuple[ComparedRun, ...]
    reasons: tuple[Reason, ...]
    results: tuple[Row, ...]
    settings: tuple[Row, ...]
    versions: tuple[Row, ...]

    @property
    def troubles(self) -> list[tuple[int, str]]:
        """The number of each run whose config.json can't be used, and a sentence about it, as clean text."""
        return [(number, clean(run.settings.trouble)) for number, run in enumerate(self.runs) if run.settings.trouble]

    def as_json(self) -> dict[str, Any]:
        names = [run.name for run in self.runs]

        def list_differences(values: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
            return {
                name: {run: table.get(name) for run, table in zip(names, values, strict=True)}
                for name in find_differences(values)
            }

        return {
            "runs": [run.as_json() for run in self.runs],
            "comparable": not self.reasons,
            "reasons": [
                {
                    "kind": reason.kind,
                    "text": reason.describe(names),
                    "groups": [
                        {"description": text, "runs": [names[run] for run in runs]} for text, runs in reason.groups
                    ],
                }
                for reason in self.reasons
            ],
            "settings": list_differences([run.settings.values for run in self.runs]),
            "versions": list_differences([run.settings.versions for run in self.runs]),
        }


class RunFiles(NamedTuple):
    """What the files of a run say, apart from its events."""

    settings: ComparedSettings
    adapter_bytes: int | None = None
    judgements: tuple[BookResult, ...] = ()


def read_files(run: RunDirectory) -> RunFiles:
    """Read the files of `run`. The app calls this in a thread."""
    adapter_bytes = measure_folder(run.adapter) if run.has_adapter() else None
    return RunFiles(read_settings(run), adapter_bytes, read_book_results(run))


def find_results(watched: WatchedRun, files: RunFiles) -> Results:
    """Find the results of a run in its state and its files. `watched` must not be a sample."""
    state = watched.state
    best, memory, probe = find_best_evaluation(state), state.memory, state.probe
    peaks = [part.peak_reserved_mib for part in (memory, probe) if part and part.peak_reserved_mib is not None]
    times, tokens = state.losses.times, state.losses.tokens
    seconds = times[-1] if times else None
    return Results(
        status=watched.status,
        step=state.step,
        total_steps=state.total_steps,
        best_eval_loss=best.eval_loss if best else None,
        best_eval_step=best.step if best else None,
        eval_loss=state.evals[-1].eval_loss if state.evals else None,
        smoothed_loss=next((loss for loss in reversed(state.losses.smooth) if isfinite(loss)), None),
        training_seconds=seconds,
        seconds=compute_elapsed(state),
        tokens=tokens[-1] if tokens else None,
        tokens_per_second=tokens[-1] / seconds if seconds else None,
        peak_gpu_mib=max(peaks, default=None),
        host_mib=memory.host_mib if memory else None,
        trainable_parameters=_find_parameters(state),
        adapter_bytes=files.adapter_bytes,
        judgements=files.judgements,
        pass_rate=state.pass_rates[-1] if state.pass_rates else None,
    )


def read_run(run: RunDirectory, watched: WatchedRun) -> ComparedRun:
    files = read_files(run)
    return ComparedRun(run.name, files.settings, find_results(watched, files))


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """Compare at least two runs."""
    reasons = find_reasons([run.settings for run in runs])
    return Comparison(
        tuple(runs),
        tuple(reasons),
        tuple(_list_results([run.results for run in runs], comparable=not reasons)),
        tuple(_list_settings([run.settings.values for run in runs])),
        tuple(_list_settings([run.settings.versions for run in runs])),
    )


def _find_parameters(state: RunState) -> int | None:
    return (state.resolved.trainable_parameters or None) if state.resolved else None


def _list_results(results: Sequence[Results], *, comparable: bool) -> Iterator[Row]:
    """Yield the rows that have a value. Losses that can't be compared have no best one."""
    yield Row("state", tuple(one.status for one in results))
    for title, name, write, best in _LOSSES:
        yield from _list_values(title, [getattr(one, name) for one in results], write, best if comparable else None)
    yield from _list_pass_rates([one.pass_rate for one in results])
    yield from _list_judgements(results, comparable=comparable)
    for title, name, write, best in _COSTS:
        values = [getattr(one, name) for one in results]
        is_time = name in _TIMES
        ranked = [value if one.status == "done" else None for value, one in zip(values, results, strict=True)]
        yield from _list_values(title, values, write, best, ranked if is_time else values)


def _list_values(
    title: str,
    values: Sequence[Any],
    write: Callable[[Any], str],
    best: Best | None,
    ranked: Sequence[float | None] | None = None,
) -> Iterator[Row]:
    """Yield the row if it has a value. `ranked` are the values that can be the best, by default all."""
    if any(value is not None for value in values):
        texts = tuple(UNKNOWN if value is None else write(value) for value in values)
        yield Row(title, texts, _find_best(values if ranked is None else ranked, best))


def _list_pass_rates(rates: Sequence[ev.PassRate | None]) -> Iterator[Row]:
    """Yield the last pass rates, of all questions and of those that were not trained. Only the rates of the same book
    can be compared."""
    books = len({rate.book for rate in rates if rate})
    best: Best | None = "highest" if books == 1 else None
    several = f" ({books} books)" if books > 1 else ""
    ranked = [rate.rate if rate else None for rate in rates]
    yield from _list_values(f"pass rate{several}", rates, lambda one: f"{one.passes} of {one.questions}", best, ranked)
    unseen = [rate if rate and 0 < rate.unseen_questions < rate.questions else None for rate in rates]
    ranked = [rate.unseen_passes / rate.unseen_questions if rate else None for rate in unseen]
    yield from _list_values(
        "of unseen questions", unseen, lambda one: f"{one.unseen_passes} of {one.unseen_questions}", best, ranked
    )


def _list_judgements(results: Sequence[Results], *, comparable: bool) -> Iterator[Row]:
    """Yield how the runs answer each book. The same questions can be compared whatever the runs learned from; the
    held-out rows only if they are the same."""
    for title, found in group_by_book([one.judgements for one in results]):
        best: Best | None = "highest" if comparable or any(one and one.sha256 for one in found) else None
        passes = [one if one and one.marked else None for one in found]
        rates = [one.pass_rate if one else None for one in passes]
        yield from _list_values(f"passes {title}", passes, lambda one: f"{one.passes} of {one.marked}", best, rates)
        yield from _list_values(f"chrF {title}", [one.chrf if one else None for one in found], "{:.1f}".format, best)


_Rows = tuple[tuple[str, str, Callable[[Any], str], Best | None], ...]
_LOSSES: _Rows = (
    ("steps", "step", "{:,}".format, None),
    ("planned steps", "unfinished_total", "{:,}".format, None),
    ("best eval loss", "best_eval_loss", "{:.4f}".format, "lowest"),
    ("at step", "best_eval_step", "{:,}".format, None),
    ("last eval loss", "eval_loss", "{:.4f}".format, "lowest"),
    ("smoothed loss", "smoothed_loss", "{:.4f}".format, "lowest"),
)
_COSTS: _Rows = (
    ("training time", "training_seconds", format_duration, "lowest"),
    ("whole time", "seconds", format_duration, "lowest"),
    ("tokens", "tokens", "{:,}".format, None),
    ("tokens/s", "tokens_per_second", "{:,.0f}".format, "highest"),
    ("peak GPU memory", "peak_gpu_mib", format_gb, "lowest"),
    ("host memory", "host_mib", format_gb, None),
    ("trained parameters", "trainable_parameters", "{:,}".format, None),
    ("adapter", "adapter_bytes", format_size, "lowest"),
)
_TIMES = ("training_seconds", "seconds")
"""Only the time of a run that is done can be the best: one that was stopped early is not faster."""


def _find_best(values: Sequence[float | None], best: Best | None) -> frozenset[int]:
    """Find the runs with the best value. None is best where all known values are equal, or where only one is known."""
    known = [value for value in values if value is not None and isfinite(value)]
    if best is None or len(set(known)) < 2:
        return frozenset()
    target = min(known) if best == "lowest" else max(known)
    return frozenset(number for number, value in enumerate(values) if value == target)


def _list_settings(values: Sequence[dict[str, Any]]) -> Iterator[Row]:
    for name in find_differences(values):
        texts = (format_setting(table[name]) if name in table else UNKNOWN for table in values)
        yield Row(clean(name), tuple(texts))
