"""Tests what a launch says about a model that is not on this machine: its size, or why it can't be downloaded."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.hub.user import HubUser

REPO = "me/tiny"
MAX_SECONDS = 30.0  # on a busy machine; the trainer's imports and retries take minutes there
FIND = (
    "import sys; from pathlib import Path; from codex_tui.hub.model import find_missing_model; "
    "from training.contract.profile import Profile; "
    "profile = Profile.model_validate({'model': {'name': sys.argv[1], 'load_in_4bit': sys.argv[2] == '4'}}); "
    "missing = find_missing_model(profile, Path('p.toml')); print(missing.note if missing else 'here'); "
    "assert 'torch' not in sys.modules"
)


def find(user: HubUser, name: str = REPO, bits: str = "16", **environ: str | None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FIND, name, bits],
        env=user.environment(**environ), cwd=user.home, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert user.token not in done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def model(user: HubUser) -> dict[str, bytes]:
    """A model on the Hub, with files that a run does not need."""
    files = {
        "config.json": b"{}",
        "tokenizer.json": b"{}" * 500_000,
        "model-00001-of-00002.safetensors": b"w" * 30_000_000,
        "model-00002-of-00002.safetensors": b"w" * 20_000_000,
        "pytorch_model.bin": b"w" * 60_000_000,
        "original/consolidated.safetensors": b"w" * 60_000_000,
    }
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    user.hub.add("model", REPO, files, private=False)
    return files


def cache(user: HubUser, name: str, files: dict[str, bytes]) -> Path:
    """Put `files` into the Hub's cache as `main` of the model `name`."""
    folder = user.home / "hf" / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("abc")
    for file, content in files.items():
        if "/" not in file:
            (snapshot / file).write_bytes(content)
    return snapshot


def test_the_size_of_the_download_is_told(user: HubUser, model: dict[str, bytes]) -> None:
    assert find(user) == f"{REPO} is not on this machine: the run downloads 0.1 GB first."
    assert find(user, bits="4") == f"{REPO} is not on this machine: the run downloads at most 0.1 GB first."
    assert {request.method for request in user.hub.requests} <= {"GET", "HEAD"}


def test_a_whole_model_in_the_cache_needs_no_hub(user: HubUser, model: dict[str, bytes]) -> None:
    snapshot = cache(user, REPO, model)
    assert find(user) == "here"
    assert user.hub.requests == []
    (snapshot / "model-00002-of-00002.safetensors").unlink()  # a download that broke off
    assert "the run downloads 0.1 GB" in find(user)


def test_the_four_bit_copy_counts_where_four_bits_are_asked_for(user: HubUser, model: dict[str, bytes]) -> None:
    copy = {"config.json": b"{}", "model.safetensors": b"w"}
    cache(user, "unsloth/tiny-unsloth-bnb-4bit", copy)
    assert find(user, "me/Tiny", bits="4") == "here"
    assert "not on this machine" in find(user, "me/Tiny", bits="16")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "The Hub can't be reached at 127.0.0.1:9."),
        ({"HF_ENDPOINT": "http://no-such-host.invalid"}, "The Hub can't be reached at no-such-host.invalid."),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, so the Hub is not used."),
        ({"HF_ENDPOINT": "nonsense"}, "HF_ENDPOINT is not a valid address."),
    ],
)
def test_without_a_network_it_is_told_within_seconds(user: HubUser, environ: dict[str, str], says: str) -> None:
    before = time.monotonic()
    assert find(user, **environ) == f"{REPO} is not on this machine. {says}"
    assert time.monotonic() - before < MAX_SECONDS


def test_a_hub_that_never_answers_is_given_up_within_seconds(user: HubUser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = time.monotonic()
        note = find(user, HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - before < MAX_SECONDS
    assert note.startswith(f"{REPO} is not on this machine. The Hub ")


def test_a_model_that_is_not_there_is_told(user: HubUser) -> None:
    assert find(user, "me/none") == "me/none is not on this machine. There is no model repository me/none on the Hub."
    user.hub.add("model", "me/gated", {"config.json": b"{}"}, gated=True)
    assert "me/gated is gated" in find(user, "me/gated")
    assert find(user, "./none").startswith("./none is not on this machine. There is no such folder.")
    assert find(user, "demo:llama") == "here"


def test_the_train_command_says_what_it_downloads_and_what_is_missing(user: HubUser, model: dict[str, bytes]) -> None:
    command = ["train", "demo", "--set", f"model.name={REPO}", "--python", "/nowhere", "--headless"]
    started = user.run_command(*command, CUDA_VISIBLE_DEVICES="")
    assert f"{REPO} is not on this machine: the run downloads at most 0.1 GB first." in started.stderr
    assert "No GPU can be used" in started.stderr
    assert started.returncode == 3  # there is no such interpreter
    started = user.run_command(*command, HF_ENDPOINT="http://127.0.0.1:9")
    assert "can't be reached at 127.0.0.1:9. The run starts anyway." in started.stderr
