"""The watchers of a run."""

from __future__ import annotations

from training.contract.config import RunConfig
from training.contract.run_directory import RunDirectory
from training.keeper.hangs import HangWatcher
from training.keeper.loans import LoanWatcher
from training.keeper.rule_watcher import RuleWatcher
from training.keeper.sleep import SleepWatcher
from training.keeper.watchers import Watcher


def make_watchers(run: RunDirectory, config: RunConfig) -> list[Watcher]:
    """Create the watchers of `run`, whose config.json is `config`. The answer of an earlier one has precedence."""
    return [HangWatcher(config), LoanWatcher(), RuleWatcher(run, config), SleepWatcher(run, config)]
