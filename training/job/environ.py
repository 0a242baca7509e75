"""Sets the environment variables that the libraries read when they are imported."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from training.contract import telemetry
from training.contract.profile import Profile
from training.contract.units import MIB
from training.demo import llama
from training.job.model import go_offline_if_needed
from training.memory.forecast import UNSPLIT_BYTES
from training.memory.visible_gpu import list_visible
from training.memory.wsl import wsl

QUIET = {
    "TOKENIZERS_PARALLELISM": "true",  # a batch of rows on all cores; no process of ours tokenises after a fork
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "WANDB_DISABLED": "true",
}


# These keep Unsloth's memory use the same on every GPU, so that forecasts hold. By default Unsloth takes a loss kernel
# that needs more memory on GPUs above 24 GiB. It also compiles each block, which takes a minute, fails on some GPUs and
# changes which tensors stay in memory.
SAME_MEMORY_EVERYWHERE = {
    "UNSLOTH_FUSED_LINEAR_FLASH_MIN_ROWS": "0",
    "UNSLOTH_FUSED_LINEAR_FWD_TILE_COLS": "16384",
    "UNSLOTH_BLOCK_COMPILE": "0",
}

FIXED_SEGMENTS = f"expandable_segments:False,max_split_size_mb:{UNSPLIT_BYTES // MIB}"


def choose_cards(profile: Profile) -> list[str]:
    """Return the card of each process that trains on this machine, as CUDA_VISIBLE_DEVICES names it; "" is the CPU.
    Ask before `prepare`, which changes what is visible."""
    return list_visible(profile.hardware.device, profile.processes)


def prepare(profile: Profile, cache: Path, rank: int = 0) -> None:
    """Silence the libraries, show them only the device that `profile` asks for, and keep their files under `cache`.
    `rank` is the number of this process among those that train on this machine."""
    telemetry.opt_out()
    for name, value in (QUIET | SAME_MEMORY_EVERYWHERE).items():
        os.environ.setdefault(name, value)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # Unsloth writes the modules that it generates here; by default it writes them to the working directory.
    os.environ["UNSLOTH_COMPILE_LOCATION"] = str(cache / "unsloth_compiled_cache")
    go_offline_if_needed(profile.model.name)
    # Each process sees at most one GPU, as cuda:0.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order of nvidia-smi and NVML
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        # Slurm sets this too, whatever card it gives, and Unsloth takes it for the sign of a card of AMD.
        os.environ.pop("ROCR_VISIBLE_DEVICES", None)
    os.environ["CUDA_VISIBLE_DEVICES"] = choose_cards(profile)[rank]
    _fix_segments_under_wsl()
    os.environ["UNSLOTH_FUSED_LINEAR_BWD_TILE_MB"] = str(profile.training.loss_tile_mib)
    if profile.model.dtype == "float32":
        os.environ["UNSLOTH_CPU_BF16"] = "0"
    if profile.model.name == llama.NAME:  # on such small matrices, threads wait for each other longer than they work
        os.environ["OMP_NUM_THREADS"] = "1"


def block_torch() -> None:
    """Make `import torch` fail in this process: transformers works without it, and starts in a second."""
    sys.modules["torch"] = None  # type: ignore[assignment]


def _fix_segments_under_wsl() -> None:
    """Limit the blocks that PyTorch's allocator may split.

    Under WSL2 its segments can't grow, so the one large block in which transformers loads the weights would stay in
    memory for the small tensors left in it.
    """
    if wsl():
        os.environ.setdefault("PYTORCH_ALLOC_CONF", FIXED_SEGMENTS)
