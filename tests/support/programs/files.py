"""Files that only the training environment can make or judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from training.demo import llama
from training.finetune import checkpoints


def write_parquet(rows: str, path: str) -> None:
    """Write `rows`, a file with a JSON list, as Parquet."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(json.loads(Path(rows).read_text())), path)


def pack_with_zstandard(file: str, packed: str) -> None:
    import pyarrow

    with pyarrow.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(Path(file).read_bytes())


def build_demo_model(cache: str) -> str:
    return str(llama.build(Path(cache)))


def damage_a_checkpoint(folder: str) -> list[Any]:
    """[newest whole checkpoint, {file: [is a copy without the file whole, is one with a cut file whole]}]."""
    newest = checkpoints.find_last_whole(Path(folder))
    assert newest is not None
    damaged = {}
    for name in ("trainer_state.json", "adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt"):
        copy = Path("damaged") / newest.name
        shutil.rmtree("damaged", ignore_errors=True)
        shutil.copytree(newest, copy)
        (copy / name).unlink()
        missing = checkpoints.is_whole(copy)
        (copy / name).write_bytes((newest / name).read_bytes()[:-40])
        damaged[name] = [missing, checkpoints.is_whole(copy)]
    return [newest.name, damaged]
