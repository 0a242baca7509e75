"""All engines, by their names. The module of an engine is imported when a run needs it."""

from __future__ import annotations

from importlib import import_module

from codex_tui.base.errors import BadInput
from codex_tui.engines.engine import Engine
from training.contract.engine import EngineName
from training.contract.run_directory import RunDirectory

_CLASSES = {
    "local": ("codex_tui.engines.local", "LocalEngine"),
    "slurm": ("codex_tui.engines.slurm.engine", "SlurmEngine"),
    "ssh": ("codex_tui.engines.ssh.engine", "SshEngine"),
}


def get_engine(name: EngineName) -> Engine:
    module, class_name = _CLASSES[name]
    try:
        engine: Engine = getattr(import_module(module), class_name)()
    except ModuleNotFoundError:
        raise BadInput(f"This version of Codex TUI has no engine {name}.", "Update it.") from None
    return engine


def find_engine(run: RunDirectory) -> Engine:
    """Find the engine that `run` was given to."""
    record = run.read_engine()
    return get_engine(record.engine if record else "local")
