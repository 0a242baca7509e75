"""What the libraries read from the process around them, set before the first of them is imported."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from training.contract.profile import Profile
from training.demo import llama
from training.job.model import go_offline_if_needed
from training.memory.wsl import wsl

QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_DISABLED": "true",
}


# One memory profile on every card, so that a forecast holds: left alone, Unsloth takes a loss kernel above 24 GiB that
# needs more memory, and compiles each block, which takes a minute, fails on some cards and changes what is kept.
STEADY = {
    "UNSLOTH_FUSED_LINEAR_FLASH_MIN_ROWS": "0",
    "UNSLOTH_FUSED_LINEAR_FWD_TILE_COLS": "16384",
    "UNSLOTH_BLOCK_COMPILE": "0",
}

FIXED_SEGMENTS = "expandable_segments:False,max_split_size_mb:256"


def prepare(profile: Profile, cache: Path) -> None:
    """Silences the libraries, shows them the device that `profile` picked and keeps their files under `cache`."""
    for name, value in (QUIET | STEADY).items():
        os.environ.setdefault(name, value)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # Unsloth writes the modules it generates here, and to the working directory otherwise.
    os.environ["UNSLOTH_COMPILE_LOCATION"] = str(cache / "unsloth_compiled_cache")
    go_offline_if_needed(profile.model.name)
    _choose_device(profile.hardware.device)
    _keep_the_segments_whole()
    os.environ["UNSLOTH_FUSED_LINEAR_BWD_TILE_MB"] = str(profile.training.loss_tile_mib)
    if profile.model.dtype == "float32":
        os.environ["UNSLOTH_CPU_BF16"] = "0"
    if profile.model.name == llama.NAME:  # threads spend longer waiting for one another than on such small matrices
        os.environ["OMP_NUM_THREADS"] = "1"


def _keep_the_segments_whole() -> None:
    """Where they can't grow, transformers' one block for all weights would stay for the little that is left in it."""
    if wsl():
        os.environ.setdefault("PYTORCH_ALLOC_CONF", FIXED_SEGMENTS)


def _choose_device(device: str | int) -> None:
    """One card at most is visible afterwards, as cuda:0."""
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # numbers as nvidia-smi and NVML give them
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif device == "auto":
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(device)
