"""Where a model comes from, and how one is loaded for chatting."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from training.contract.failures import TrainingFailure, name_full_disk
from training.contract.model_path import find_model_folder, is_path
from training.contract.profile import Profile
from training.demo import llama
from training.memory.forecast import check_modules
from training.memory.model_shape import ModelShape, NoShape

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONNECT_SECONDS = 4.0


def resolve_source(name: str, cache: Path) -> str:
    """Return what `from_pretrained` needs for `name`: a folder if the model is on this machine, else a Hub id.

    Builds the demo model if it is missing. Raises TrainingFailure for a folder that has no model.
    """
    if name == llama.NAME:
        return str(llama.build(cache))
    return str(local_folder(name) or name)


def hub_cache() -> Path:
    """Return the folder to which models are downloaded from the Hub."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def local_folder(name: str) -> Path | None:
    """The folder that `name` points to; None for a Hub id. Raises TrainingFailure for a folder that is no model."""
    folder = find_model_folder(name)
    if folder and not (folder / "config.json").is_file():
        problem = "it has no config.json" if folder.is_dir() else "there is no such folder"
        raise TrainingFailure("model_not_found", f"{folder} is not a model: {problem}.")
    return folder


def require_safetensors(adapter: Path) -> None:
    """Raise TrainingFailure if an adapter has no safetensors weights: other formats can carry code."""
    if not (adapter / "adapter_model.safetensors").is_file():
        raise TrainingFailure(
            "model_not_found",
            f"{adapter} has no adapter_model.safetensors. Other formats can carry code and are not loaded.",
            "Train the adapter again, or move the folder away to chat with the base model.",
        )


def go_offline_if_needed(name: str) -> None:
    """Set the Hub's client to offline mode if the Hub can't be reached. Otherwise it retries for a minute; offline, a
    cached model loads at once, and any other fails at once. Call this before importing `huggingface_hub`."""
    if name == llama.NAME or is_path(name) or not _hub_answers():
        os.environ["HF_HUB_OFFLINE"] = "1"


def load_tokenizer(name: str, cache: Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of `name` alone. This doesn't need torch."""
    from transformers import AutoTokenizer

    if name == llama.NAME:
        return llama.build_tokenizer()
    with name_full_disk(hub_cache()):
        return AutoTokenizer.from_pretrained(resolve_source(name, cache), revision=revision, trust_remote_code=False)


def read_config(source: str, revision: str | None) -> dict[str, Any]:
    """Read the config.json of the model at `source`, a folder or a Hub id; {} if transformers can't read it."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        return dict(config.to_dict())
    except Exception:  # noqa: BLE001  Unsloth may know the model by another name; if not, the load says what is wrong
        return {}


def find_shape(config: dict[str, Any], profile: Profile) -> ModelShape | None:
    """Find the model's shape in its config.json; None if no forecast can be made with it."""
    try:
        shape = ModelShape.from_config(config)
        check_modules(profile, shape)
    except NoShape:
        return None
    return shape


def load_for_chat(
    folder: str, *, revision: str | None, load_in_4bit: bool, dtype: str, adapter: Path | None
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Load the model, its adapter if there is one, and its tokenizer, with plain transformers and peft. See
    `load_base`."""
    if adapter:
        require_safetensors(adapter)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        adapter or folder, revision=None if adapter else revision, trust_remote_code=False
    )
    base = load_base(folder, revision=revision, load_in_4bit=load_in_4bit, dtype=dtype)
    if adapter is None:
        return base, tokenizer
    from peft import PeftModel

    return PeftModel.from_pretrained(base, adapter).eval(), tokenizer


def load_base(folder: str, *, revision: str | None, load_in_4bit: bool, dtype: str) -> PreTrainedModel:
    """Load the model without an adapter, with plain transformers.

    It gives the same greedy tokens as Unsloth and starts in a fraction of its time. `dtype` names the precision of the
    run. Use the model under `autocast`.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    compute = getattr(torch, dtype)
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    base = AutoModelForCausalLM.from_pretrained(
        folder,
        revision=revision,
        dtype=compute,
        use_safetensors=True,
        trust_remote_code=False,
        device_map={"": 0} if torch.cuda.is_available() else "cpu",
        # A checkpoint that is quantised already brings its own settings.
        **({"quantization_config": quantisation} if load_in_4bit and not folder.endswith("bnb-4bit") else {}),
    )
    # Like Unsloth, don't let bitsandbytes repack the weights on a CPU: repacked ones round differently.
    for module in base.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return base.eval()


def autocast(model: Any, dtype: Any) -> Any:
    """Return the context in which a model computes with the precision of its run, as it does in the trainer."""
    import torch

    return torch.autocast(model.device.type, dtype, enabled=dtype is not torch.float32)


def _hub_answers() -> bool:
    """Try to connect to the Hub, or to the proxy in front of it."""
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    proxy = urlsplit(getproxies().get(endpoint.scheme, ""))
    target = proxy if proxy.hostname else endpoint
    port = target.port or (80 if target.scheme == "http" else 443)
    try:
        with socket.create_connection((target.hostname or "", port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
