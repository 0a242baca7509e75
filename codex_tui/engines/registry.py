"""All engines, by their names. The module of an engine is imported when a run needs it."""

from __future__ import annotations

from codex_tui.engines.engine import Engine
from training.contract.engine import EngineName
from training.contract.run_directory import RunDirectory


def get_engine(name: EngineName) -> Engine:
    match name:
        case "local":
            from codex_tui.engines.local import LocalEngine

            return LocalEngine()
        case "slurm":
            from codex_tui.engines.slurm.engine import SlurmEngine

            return SlurmEngine()
        case "ssh":
            from codex_tui.engines.ssh.engine import SshEngine

            return SshEngine()


def find_engine(run: RunDirectory) -> Engine:
    """Find the engine that `run` was given to."""
    record = run.read_engine()
    return get_engine(record.engine if record else "local")
