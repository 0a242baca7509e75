"""Run by the training environment: `python in_training.py checkpoints|parquet COUNT SEED FOLDER`.

Prints a JSON list of what did not hold on its last line.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import signal
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from support.fuzz.mutate import Mutator
from training.finetune import checkpoints
from training.workers import jsonl

FAILURES: list[str] = []
STATE = {
    "best_metric": 1.5, "best_model_checkpoint": None, "epoch": 0.5, "eval_steps": 4, "global_step": 12,
    "max_steps": 40, "is_hyper_param_search": False, "is_local_process_zero": True, "is_world_process_zero": True,
    "logging_steps": 1,
    "log_history": [{"epoch": 0.1, "loss": 2.0, "step": 1}, {"epoch": 0.5, "eval_loss": 1.5, "step": 12}],
    "num_input_tokens_seen": 99, "num_train_epochs": 2, "save_steps": 4, "stateful_callbacks": {}, "total_flos": 1e9,
    "train_batch_size": 1, "trial_name": None, "trial_params": None,
}  # fmt: skip


@contextlib.contextmanager
def expect_no_crash(what: str) -> Iterator[None]:
    signal.alarm(60)
    try:
        yield
    except BaseException as error:  # noqa: BLE001  that is what is looked for
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        FAILURES.append(f"{what}: {type(error).__name__}: {str(error)[:200]!r} in {' '.join(frames[-4:])}")
    finally:
        signal.alarm(0)


def checksums(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def write_checkpoint(folder: Path, step: int) -> None:
    """A checkpoint as transformers writes it, but for its sizes."""
    import numpy
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps(STATE | {"global_step": step}))
    save_file({"lora_A": numpy.zeros((4, 4), "float32")}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]}))
    for name in ("optimizer.pt", "rng_state.pth", "scheduler.pt"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("archive/data.pkl", b"x" * 200)
            archive.writestr("archive/data/0", bytes(range(256)))


def try_checkpoints(folder: Path) -> Callable[[Mutator, str], None]:
    from transformers import TrainerState

    home = folder / "checkpoints"
    for step in (6, 12):
        write_checkpoint(home / f"checkpoint-{step}", step)
    last = home / "checkpoint-12"
    files = {path: path.read_bytes() for path in last.iterdir()}

    def try_one(mutate: Mutator, what: str) -> None:
        for path, data in files.items():
            path.write_bytes(data)
        path = mutate.random.choice([last / "trainer_state.json", *files])
        data = files[path]
        path.write_bytes(mutate.json(json.loads(data)) if path.suffix == ".json" else mutate.bytes(data))
        before = checksums(home)
        with expect_no_crash(f"{what} {path.name}"):
            found = checkpoints.find_last_whole(home)
            assert found is not None, "the older one is whole"
            if found == last and path.name == "trainer_state.json":
                try:
                    state = TrainerState.load_from_json(str(path))
                except TypeError as error:  # a key of another version; the run fails with these words
                    assert "unexpected keyword" in str(error)
                    return
                assert type(state.global_step) is int
                checkpoints.find_best_step(state.log_history)
            assert checksums(home) == before, "something was overwritten"

    return try_one


def try_parquet(folder: Path) -> Callable[[Mutator, str], None]:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"instruction": [f"a {n}" for n in range(50)], "response": ["b"] * 50, "n": list(range(50))})
    file, copy = folder / "rows.parquet", folder / "copy.jsonl"
    parquet.write_table(table, file)
    data = file.read_bytes()

    def try_one(mutate: Mutator, what: str) -> None:
        copy.unlink(missing_ok=True)
        file.write_bytes(mutate.bytes(data))
        before, said = checksums(folder), io.StringIO()
        with expect_no_crash(what), contextlib.redirect_stderr(said):
            code = jsonl.write(file, copy)
            assert code in (0, 1)
            assert copy.is_file() == (code == 0), "a copy of a broken file"
            assert bool(said.getvalue().strip()) == (code == 1), "no message"
            copy.unlink(missing_ok=True)
            assert checksums(folder) == before, "something was overwritten"

    return try_one


def main(kind: str, count: str, seed: str, folder: str) -> None:
    def on_alarm(*_: object) -> None:
        raise TimeoutError("hangs")

    signal.signal(signal.SIGALRM, on_alarm)
    try_one = {"checkpoints": try_checkpoints, "parquet": try_parquet}[kind](Path(folder))
    for number in range(int(count)):
        name = f"{kind}/{seed}/{number}"
        try_one(Mutator(name), f"seed {name}")
    print(json.dumps(FAILURES))


if __name__ == "__main__":
    main(*sys.argv[1:])
