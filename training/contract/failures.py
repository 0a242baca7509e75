"""Classifies a failure: its kind, a message and a remedy. Each kind needs a different fix."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.contract.events import FailureKind, OutOfMemory
from training.contract.files import describe_size_limit, reaches_size_limit
from training.contract.secrets import redact_secrets


@dataclass(frozen=True)
class Failure:
    kind: FailureKind
    message: str
    hint: str
    memory: OutOfMemory | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redact_secrets(self.message))
        object.__setattr__(self, "hint", redact_secrets(self.hint))


class TrainingFailure(Exception):
    """A failure that the trainer itself detected, so its kind is known. `memory`: where the GPU's memory ran out."""

    def __init__(self, kind: FailureKind, message: str, hint: str = "", memory: OutOfMemory | None = None) -> None:
        self.kind = kind
        self.message = message
        self.hint = hint
        self.memory = memory
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:  # with all arguments, so that it can be sent to another process
        return type(self), (self.kind, self.message, self.hint, self.memory)


_HINTS: dict[FailureKind, str] = {
    "gpu_memory": "Close what else uses the card, or make the run smaller: `codex-tui forecast` ranks what gives back "
    "how much, such as a shorter model.max_seq_length or model.offload_layers.",
    "pinned_memory": "Page-locked host memory is capped, under WSL2 at 1 to 2 GB: lower "
    "hardware.pinned_limit_mib, 0 does without; or set training.gradient_checkpointing = true.",
    "host_memory": "Close other programs, give the machine (under WSL2: .wslconfig) more memory or swap, or "
    "choose a smaller model.",
    "disk_full": "Free some space, or lower checkpoints.save_total_limit, and resume the run.",
    "file_size_limit": "Raise the limit with `ulimit -f unlimited`, or use a folder on another file system.",
    "model_not_found": "Check model.name and model.revision: a Hub id such as unsloth/Llama-3.2-3B-Instruct, a "
    'folder, or "demo:llama".',
    "gated_model": "Accept the model's licence on its Hub page and log in with a token that may read it.",
    "offline": "Check the network, or name a local folder in model.name.",
    "bad_token": "Log in again; the Hub refuses the token that is set now.",
    "driver_mismatch": "Update the NVIDIA driver, or set the trainer up again; `codex-tui doctor` says which.",
    "driver_lost": "Resume the run when `nvidia-smi` lists the GPU again. If it does not, restart the machine; under "
    "WSL2: `wsl --shutdown` in Windows.",
    "missing_library": "Set the trainer up again: codex-tui setup. `codex-tui doctor` lists what is missing.",
    "nan_loss": 'Lower training.learning_rate, or set model.dtype = "bfloat16" where the card has it.',
    "bad_config": "`codex-tui profile check` says what is wrong with a profile.",
    "unknown": "The traceback in the log says where it happened.",
}

# Patterns for the texts of the exception and its causes. The first match counts, so special ones come first.
_PINNING = r"pin_memory|cudaHostAlloc|cudaHostRegister|cudaMallocHost|pinned|page-locked"
_CUDA_OUT_OF_MEMORY = r"CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDA error: out of memory|OutOfMemoryError"
_TOO_LARGE = r"File too large|os error 27\b"
# CUDA's words for a card that is gone, reset or switched off. A fault of a program, such as "illegal memory access", is
# none of them: it would come again.
_DRIVER_LOST = (
    r"CUDA (?:driver )?error: [^\n]*?(?:unknown error|unspecified launch failure|the launch timed out|"
    r"initialization error|driver shutting down|no CUDA-capable device|busy or unavailable|uncorrectable|"
    r"system not yet initialized|OS call failed)|CUDA unknown error|No CUDA GPUs are available|"
    r"Found no NVIDIA driver on your system|Unexpected error from cudaGetDeviceCount"
)
_MAX_FRAMES = 3

_PATTERNS: list[tuple[str, FailureKind, str]] = [
    (_PINNING, "pinned_memory", "Page-locked host memory ran out."),
    (_CUDA_OUT_OF_MEMORY, "gpu_memory", "The GPU ran out of memory."),
    (r"DefaultCPUAllocator|can't allocate memory|Cannot allocate memory|std::bad_alloc",
     "host_memory", "The machine ran out of memory."),
    (r"No space left on device|Disk quota exceeded|os error 28|PytorchStreamWriter failed|unexpected pos \d+ vs",
     "disk_full", "The disk is full."),
    (r"GatedRepoError|access gated repo|access a gated repo\.|awaiting a review",
     "gated_model", "The model is gated and access was not granted."),
    (r"Invalid user token|Invalid credentials in Authorization|\b[Tt]oken (?:has |is )?(?:expired|invalid)",
     "bad_token", "The Hub refused the token."),
    (r"OfflineModeIsEnabled|LocalEntryNotFoundError|Couldn't connect to|couldn't connect to|Max retries exceeded|"
     r"Name or service not known|Temporary failure in name resolution|ConnectError|ConnectionError|offline mode",
     "offline", "The model is not on this machine and the Hub can't be reached."),
    (r"no file named model\.safetensors",
     "model_not_found", "The model has no safetensors weights; other formats can carry code and are not loaded."),
    (r"contains custom code|trust_remote_code",
     "model_not_found", "The model needs its own code, which is never run."),
    (r"RepositoryNotFoundError|RevisionNotFoundError|EntryNotFoundError|is not a local folder and is not a valid model|"
     r"not a valid model identifier|HFValidationError|Repository Not Found|does not appear to have a file named|"
     r"[Uu]nrecognized model|No config file found|is not a valid git identifier|no file named",
     "model_not_found", "The model can't be found."),
    (r"driver.*(?:too old|insufficient|mismatch)|CUDA driver version|no kernel image is available|"
     r"libcuda\.so|libnvidia|NVML_ERROR_LIB|Error 80[34]",
     "driver_mismatch", "The GPU's driver and the installed CUDA libraries don't fit."),
    (_DRIVER_LOST, "driver_lost", "The GPU or its driver stopped answering."),
    (r"Target modules .* not found in the base model|Target module .* is not supported",
     "bad_config", "lora.target_modules names layers that can't have an adapter in this model."),
    (r"Module = .* is not allowed\. Only",
     "bad_config", "lora.modules_to_save may name embed_tokens, lm_head and normalisation layers only."),
    (r"cannot open shared object file|undefined symbol|DLL load failed|No module named|cannot import name",
     "missing_library", "A library of the training stack is missing or broken."),
]  # fmt: skip

_NO_CHAT_TEMPLATE = r"chat_template is not set|does not have a chat template"
NO_CHAT_TEMPLATE = "The model has no chat template."
NO_CHAT_TEMPLATE_HINT = (
    'Set model.chat_template = "chatml", or model.name to the Instruct model of the same family, or train on plain '
    "text: name its column in dataset.text_column."
)

_FILE_PATTERNS: list[tuple[str, str, str]] = [
    (r"SafetensorError: (.+)", "A file of weights is damaged ({}).",
     "Download the model again: delete it from the Hub's cache, or copy its folder again."),
    (r"Can't find a valid checkpoint at (.+)", "{} was deleted or damaged while it was being loaded.",
     "Resume the run again: it continues from its last whole checkpoint."),
]  # fmt: skip


def get_hint(kind: FailureKind) -> str:
    """Return what to do about a failure of this kind; "" if nothing is known."""
    return _HINTS.get(kind, "")


def classify(error: BaseException) -> Failure:
    """Classify `error` by its type and text, and by those of its causes."""
    chain = _list_causes(error)
    for link in chain:
        if isinstance(link, TrainingFailure):
            return Failure(link.kind, link.message, link.hint or _HINTS.get(link.kind, ""), link.memory)
    for link in chain:
        if isinstance(link, MemoryError):
            return Failure("host_memory", "The machine ran out of memory.", _HINTS["host_memory"])
        if isinstance(link, OSError) and link.errno == errno.EFBIG:
            return _explain_size_limit(link.filename)
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f": {link.filename} can't be written." if link.filename else "."
            return Failure("disk_full", f"The disk is full{where}", _HINTS["disk_full"])
    text = "\n".join(f"{type(link).__name__}: {link}" for link in chain)
    if re.search(_CUDA_OUT_OF_MEMORY, text) and re.search(_PINNING, _format_innermost_lines(error)):
        # CUDA reports a refused page lock under WSL2 as a full GPU. Only the source line shows the difference.
        return Failure("pinned_memory", "Page-locked host memory ran out.", _HINTS["pinned_memory"])
    if re.search(_NO_CHAT_TEMPLATE, text):
        return Failure("bad_config", NO_CHAT_TEMPLATE, NO_CHAT_TEMPLATE_HINT)
    if re.search(_TOO_LARGE, text):
        return _explain_size_limit()
    for pattern, kind, message in _PATTERNS:
        if re.search(pattern, text):
            return Failure(kind, message, _HINTS[kind])
    for pattern, message, hint in _FILE_PATTERNS:
        if match := re.search(pattern, text):
            return Failure("model_not_found", message.format(match[1]), hint)
    return Failure("unknown", _summarize(error), _HINTS["unknown"])


def _explain_size_limit(path: str | None = None) -> Failure:
    reason, hint = describe_size_limit()
    return Failure("file_size_limit", f"{path or 'A file'} can't be written: {reason}.", hint)


@contextmanager
def name_full_disk(place: Path) -> Iterator[None]:
    """If a library reports inside the block that a disk is full or a file too large, raise an OSError with the path
    `place` instead. The error of `name_large_file` stays as it is."""
    try:
        yield
    except Exception as error:
        codes = {"disk_full": errno.ENOSPC, "file_size_limit": errno.EFBIG}
        code = codes.get(classify(error).kind)
        if code is None or (code == errno.EFBIG and getattr(error, "filename", None)):
            raise
        raise OSError(code, os.strerror(code), str(place)) from error


@contextmanager
def name_large_file(unfinished: Path, place: Path, weights: str) -> Iterator[None]:
    """If a file that a library writes into the folder `unfinished` becomes too large, raise an OSError with its path.
    `place` is the folder's name once it is finished, `weights` the name of the file with the weights in it."""
    try:
        yield
    except Exception as error:
        if classify(error).kind == "file_size_limit":  # from safetensors, which deletes its unfinished file
            name = weights
        else:  # torch reports it in words that say nothing
            written = (path for path in unfinished.rglob("*") if path.is_file() and reaches_size_limit(path))
            name = next((str(path.relative_to(unfinished)) for path in written), "")
        if not name:
            raise
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(place / name)) from error


def _list_causes(error: BaseException) -> list[BaseException]:
    """Return `error` and its causes, the outermost first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def _format_innermost_lines(error: BaseException) -> str:
    """Return the source lines that raised `error`."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    return "\n".join(f"{frame.name}: {frame.line}" for frame in frames)


def _summarize(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
