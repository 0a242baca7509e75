"""A file that becomes larger than the shell (`ulimit -f`) allows: the failure names the file and the limit."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.training_runs import Trainer, demo_profile, events

from training.contract.run_directory import RunDirectory


@contextmanager
def size_limit(size: int) -> Iterator[None]:
    """Limit the files of the processes that are started inside to `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_too_large(run: RunDirectory, path: str, size: int) -> None:
    failed = events(run)[-1]
    assert (failed["type"], failed["kind"]) == ("failed", "file_size_limit"), failed
    assert failed["message"].endswith(f"{path} can't be written: a file may have {size:,} bytes at most (ulimit -f).")
    assert failed["hint"] == "Nothing is damaged. Raise the limit with `ulimit -f unlimited`, then try it again."


def test_the_demo_model(trainer: Trainer, tmp_path: Path) -> None:
    cache = tmp_path / "empty"
    of_its_own = Trainer(trainer.python, tmp_path, cache)
    run = of_its_own.run("large-model", demo_profile())
    with size_limit(1_024_000):
        assert of_its_own.train(run) == 1
    assert_too_large(run, "/model.safetensors", 1_024_000)
    assert f"{cache}/demo-llama-" in events(run)[-1]["message"]
    assert [path.name for path in cache.iterdir() if "demo-llama" in path.name] == []


def test_a_checkpoint_and_the_adapter(trainer: Trainer, demo: RunDirectory) -> None:
    profile = demo_profile(training={"max_steps": 1}, checkpoints={"save_steps": 1})
    sizes = {path.name: path.stat().st_size for path in max(demo.checkpoints.iterdir()).iterdir()}
    for name, place in (
        ("optimizer.pt", "checkpoints/checkpoint-1"),
        ("adapter_model.safetensors", "checkpoints/checkpoint-1"),
    ):
        run = trainer.run(f"limited-{name}", profile)
        with size_limit(sizes[name] - 1):
            assert trainer.train(run) == 1
        assert_too_large(run, f"{run.path / place / name}", sizes[name] - 1)
        assert [path.name for path in run.checkpoints.iterdir() if path.is_dir()] == []
