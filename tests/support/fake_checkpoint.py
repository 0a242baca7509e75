"""Checkpoints as small as they can be that count as whole."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

ARCHIVES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


def write_checkpoint(home: Path, step: int) -> Path:
    folder = home / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}, indent=2))
    for name in ARCHIVES:
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("data/0", b"state" * 50)
    return folder
