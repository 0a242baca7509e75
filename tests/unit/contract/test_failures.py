"""Failures are told apart by the texts that the libraries really give."""

from __future__ import annotations

import copy
import errno
import pickle
from pathlib import Path

import pytest

from training.contract.failures import TrainingFailure, classify, name_full_disk, name_large_file

OFFLINE = (
    "We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.\n"
    "Check your internet connection or see how to run the library in offline mode at 'https://...'."
)
NOT_FOUND = (
    "some/model is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'\n"
    "If this is a private repository, make sure to pass a token having permission to this repo either by logging in "
    "with `hf auth login` or by passing `token=<your_token>`"
)
REPOSITORY = (
    "401 Client Error. (Request ID: Root=1-5)\n\nRepository Not Found for url: https://huggingface.co/api/models/a/b.\n"
    "Please make sure you specified the correct `repo_id` and `repo_type`.\n"
    "If you are trying to access a private or gated repo, make sure you are authenticated."
)
GATED = "You are trying to access a gated repo.\nMake sure to have access to it at https://huggingface.co/a/b.\n401"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 96.00 MiB. GPU 0 has a total capacity"), "gpu_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "gpu_memory"),
        (RuntimeError("CUDA error: out of memory\nin cudaHostAlloc"), "pinned_memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), "host_memory"),
        (MemoryError(), "host_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (OSError(errno.EFBIG, "File too large"), "file_size_limit"),
        (RuntimeError("I/O error: File too large (os error 27)"), "file_size_limit"),
        (OSError(OFFLINE), "offline"),
        (OSError(NOT_FOUND), "model_not_found"),
        (OSError(REPOSITORY), "model_not_found"),
        (OSError(GATED), "gated_model"),
        (OSError("Error no file named model.safetensors found in directory /a/model."), "model_not_found"),
        (ValueError("The repository a/b contains custom code which must be executed to load it."), "model_not_found"),
        (OSError("Invalid user token."), "bad_token"),
        (ImportError("libcudart.so.13: cannot open shared object file: No such file"), "missing_library"),
        (ModuleNotFoundError("No module named 'bitsandbytes'"), "missing_library"),
        (RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."), "driver_mismatch"),
        (RuntimeError("CUDA error: unknown error\nCUDA kernel errors might be asynchronously reported"), "driver_lost"),
        (RuntimeError("CUDA error: the launch timed out and was terminated"), "driver_lost"),
        (RuntimeError("Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions"), "driver_lost"),
        (RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"), "driver_lost"),
        (RuntimeError("No CUDA GPUs are available"), "driver_lost"),
        (RuntimeError("CUDA error: an illegal memory access was encountered."), "unknown"),
        (ValueError("Cannot use chat template functions because tokenizer.chat_template is not set"), "bad_config"),
        (ValueError("Target modules {'wq'} not found in the base model. Please check"), "bad_config"),
        (ValueError("Target module LlamaRMSNorm((64,), eps=1e-06) is not supported."), "bad_config"),
        (TypeError("Unsloth: Module = mlp is not allowed. Only 'lm_head', 'embed_tokens' and"), "bad_config"),
        (TrainingFailure("nan_loss", "The loss was NaN or infinite at step 3."), "nan_loss"),
        (ValueError("Can't find a valid checkpoint at /runs/a/checkpoints/checkpoint-20"), "model_not_found"),
        (ZeroDivisionError("division by zero"), "unknown"),
    ],
)
def test_kind(error: Exception, kind: str) -> None:
    failure = classify(error)
    assert failure.kind == kind
    assert failure.message.endswith((".", "division by zero"))
    assert failure.hint
    assert "\n" not in failure.message


def test_a_damaged_file_of_weights_is_told_in_words() -> None:
    SafetensorError = type("SafetensorError", (Exception,), {})  # noqa: N806  as the library calls it
    failure = classify(SafetensorError("Error while deserializing header: incomplete metadata, file not fully covered"))
    assert failure.kind == "model_not_found"
    assert failure.message.startswith("A file of weights is damaged (Error while deserializing header: incomplete")
    assert "Download the model again" in failure.hint


def test_a_file_that_becomes_too_large_is_named_with_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries name no file, and torch tells a full disk and a file that is too large in the same words."""
    SafetensorError = type("SafetensorError", (Exception,), {})  # noqa: N806  as the library calls it
    unfinished, place = tmp_path / ".unfinished" / "checkpoint-3", tmp_path / "checkpoint-3"
    unfinished.mkdir(parents=True)
    (unfinished / "config.json").write_bytes(b"x" * 10)
    for error, name in (
        (SafetensorError("Error while serializing: I/O error: File too large (os error 27)"), "model.safetensors"),
        (RuntimeError("[enforce fail at inline_container.cc:626] . unexpected pos 64 vs 0"), "optimizer.pt"),
        (RuntimeError("basic_ios::clear: iostream error"), "optimizer.pt"),
    ):
        if name == "optimizer.pt":  # safetensors deletes its file
            (unfinished / name).write_bytes(b"x" * 100)
        monkeypatch.setattr("training.contract.files.find_size_limit", lambda: 100)
        with pytest.raises(OSError, match="File too large") as caught, name_full_disk(tmp_path):  # noqa: SIM117
            with name_large_file(unfinished, place, "model.safetensors"):
                raise error
        failure = classify(caught.value)
        assert failure.kind == "file_size_limit"
        assert failure.message == f"{place / name} can't be written: a file may have 100 bytes at most (ulimit -f)."
        assert failure.hint == "Nothing is damaged. Raise the limit with `ulimit -f unlimited`, then try it again."
        monkeypatch.setattr("training.contract.files.find_size_limit", lambda: None)
        assert "its file system allows no larger file" in classify(caught.value).message
        assert "FAT ends at 4 GB" in classify(caught.value).hint


def test_a_full_disk_under_a_limit_is_still_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.contract.files.find_size_limit", lambda: 100)
    (tmp_path / "optimizer.pt").write_bytes(b"x" * 99)
    with pytest.raises(OSError, match="No space") as caught, name_full_disk(tmp_path):  # noqa: SIM117
        with name_large_file(tmp_path, tmp_path, "model.safetensors"):
            raise RuntimeError("[enforce fail at inline_container.cc:626] . unexpected pos 64 vs 0")
    assert classify(caught.value).kind == "disk_full"


def test_a_checkpoint_that_is_gone_is_named() -> None:
    failure = classify(ValueError("Can't find a valid checkpoint at /runs/a/checkpoints/checkpoint-20"))
    assert failure.message.startswith("/runs/a/checkpoints/checkpoint-20 was deleted")
    assert "last whole checkpoint" in failure.hint


def test_the_cause_counts_too() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as cause:
            raise RuntimeError("could not save") from cause
    except RuntimeError as error:
        assert classify(error).kind == "disk_full"


def test_page_locked_memory_that_poses_as_a_full_card() -> None:
    """Under WSL2 the text is that of a full card; the place tells."""

    def pin_memory() -> None:
        raise RuntimeError("CUDA error: out of memory")

    with pytest.raises(RuntimeError) as caught:
        pin_memory()
    assert classify(caught.value).kind == "pinned_memory"


def test_an_unknown_failure_says_what_it_was() -> None:
    assert classify(ValueError("first line\nsecond line")).message == "ValueError: first line"
    assert classify(ValueError()).message == "ValueError"


def test_a_failure_of_one_rank_is_the_same_in_another() -> None:
    failure = TrainingFailure("gpu_memory", "No memory.", "Use less.")
    for other in (copy.deepcopy(failure), pickle.loads(pickle.dumps(failure))):
        assert (other.kind, other.message, other.hint, str(other)) == (
            "gpu_memory",
            "No memory.",
            "Use less.",
            "No memory.",
        )
