"""Plans several runs, of several profiles or of a sweep, before the first of them starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, Progress, ignore_progress
from codex_tui.base.text import pluralize
from codex_tui.data.run_time import TimeEstimates
from codex_tui.engines.engine import EngineSilent
from codex_tui.hub.model import find_missing_model
from codex_tui.launch_plan import LaunchPlan, RowCounts, make_plan
from codex_tui.profiles.library import find_profile
from codex_tui.profiles.sweep import Variant
from codex_tui.runs.changes import check_name

MAX_NAME = 64  # characters of a run's name


@dataclass(frozen=True)
class Series:
    """The plans, in the order in which the runs train. `seconds` is about how long they take together; None if the
    speed of one is not known."""

    plans: list[LaunchPlan]
    seconds: float | None


def plan_series(
    profiles: Sequence[str],
    variants: Sequence[Variant],
    *,
    dataset: str | None = None,
    name: str | None = None,
    overrides: Mapping[str, Any] = {},
    until: float | None = None,
    report: OnProgress = ignore_progress,
) -> Series:
    """Plan a run of each profile for each variant. Nothing is written. The arguments are those of `make_plan`; `name`
    is what the names of a sweep's runs begin with.

    Raises BadInput if any of the runs can't start. The error names them all. Raises EngineSilent at once if an engine
    does not answer.
    """
    plans: list[LaunchPlan] = []
    faults: dict[tuple[str, str], list[str]] = {}  # the runs with the same message and hint
    counts: RowCounts = {}
    taken: set[str] = set()
    models: set[str] = set()
    total = len(profiles) * len(variants)
    for number, (profile, variant) in enumerate((profile, variant) for profile in profiles for variant in variants):
        label = f"{profile} {variant.label}".strip()
        report(Progress("checking the runs", number, total, "runs", label))
        try:
            plan = make_plan(
                find_profile(profile), dataset=dataset, name=None if variant.label else name,
                overrides={**overrides, **variant.overrides}, find_model=False, until=until, counts=counts,
            )  # fmt: skip
            if variant.label:
                plan = replace(plan, name=_choose_name(name or plan.base_name, variant.label, taken))
            if plan.profile.launch.shares_folder and plan.profile.model.name not in models:
                models.add(plan.profile.model.name)
                plan = replace(plan, missing_model=find_missing_model(plan.profile, plan.profile_file))
        except CodexError as error:
            if total == 1 or isinstance(error, EngineSilent):
                raise
            faults.setdefault((error.message, error.hint), []).append(label)
        else:
            plans.append(plan)
    if faults:
        raise _report_faults(faults, total)
    return Series(plans, _add_times(plans))


def _choose_name(base: str, label: str, taken: set[str]) -> str:
    """Choose the name of a sweep's run, such as demo-lr1e-4-r8, or the first free one with a number behind it."""
    home = locations.runs_home()
    start = f"{base[: MAX_NAME // 2]}-{label}"
    names = (start[: MAX_NAME - len(end)].rstrip("-.") + end for end in _list_ends())
    name = next(name for name in names if name not in taken and not os.path.lexists(home / name))
    check_name(name)
    taken.add(name)
    return name


def _list_ends() -> Iterator[str]:
    yield ""
    yield from (f"-{number}" for number in count(2))


def _report_faults(faults: Mapping[tuple[str, str], list[str]], total: int) -> BadInput:
    runs = sum(map(len, faults.values()))
    lines = [f"{runs} of {pluralize(total, 'run')} can't start, so none was started:"]
    for (message, hint), labels in faults.items():
        shown = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
        text = f"{message}\n{hint}".strip().replace("\n", "\n    ")
        lines.append(f"  {shown}: {text}")
    return BadInput("\n".join(lines))


def _add_times(plans: Sequence[LaunchPlan]) -> float | None:
    estimates, total = TimeEstimates(), 0.0
    for plan in plans:
        if plan.tokens is None or not plan.profile.launch.is_local:
            return None
        seconds = estimates.estimate(plan.profile, plan.tokens, plan.profile_file, plan.resources)
        if seconds is None:
            return None
        total += seconds
    return total
