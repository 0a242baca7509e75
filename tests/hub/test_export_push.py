"""Tests pushing an export of a run, with its card, to a Hub on the loopback interface; and a base model from there."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
from math import prod
from pathlib import Path

import pytest
from support.exports import PROOF, write_export
from support.hub.adapter_run import make_run, read_card
from support.hub.user import HubUser

from codex_tui.workers.process import trainer_environment

REPO = "me/waves-lora"
BUILD = "import sys; from pathlib import Path; from training.demo import llama; print(llama.build(Path(sys.argv[1])))"


def test_a_merged_model_goes_with_its_card(user: HubUser) -> None:
    run = make_run(user)
    files = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 500}
    write_export(run, "merged", files, PROOF)
    result = user.run_json("push", run.name, REPO, "--export", "merged")
    there = user.hub.repos["model", REPO]
    assert there.private
    assert set(there.commits[-1].files) - {".gitattributes"} == {*files, "README.md"}
    assert there.commits[-1].files["model.safetensors"] == files["model.safetensors"]
    assert result["files"]["config.json"] == hashlib.sha256(b"{}").hexdigest()
    card = read_card(user)
    front = card.split("---\n")[1]
    assert 'base_model: "meta/Tiny"\n' in front
    assert "library_name: transformers\n" in front
    assert "- merged\n" in front
    for text in (
        "`meta/Tiny` with a LoRA adapter merged into it",
        f'model = AutoModelForCausalLM.from_pretrained("{REPO}", device_map="auto")',
        "- 29 of 30 answers identical at bfloat16, loss per token +0.02.",
        "| base weights | the 4-bit weights |",
        f"| model.safetensors | 128.0 kB, sha256 {hashlib.sha256(files['model.safetensors']).hexdigest()} |",
        "| best evaluation loss | 1.2500 (step 10) |",
        f"| sha256 | {'ab' * 32} |",
        "max_seq_length = 512",
    ):
        assert text in card
    assert str(user.home) not in card
    assert user.run_json("push", run.name, REPO, "--export", "merged")["sent"] == []


def test_gguf_files_beside_an_adapter_keep_both_cards(user: HubUser) -> None:
    run = make_run(user)
    write_export(run, "gguf", {"waves-1-Q4_K_M.gguf": b"GGUF" * 1000}, {**PROOF, "of": "Q4_K_M"})
    user.run_json("push", run.name, REPO)
    user.run_json("push", run.name, REPO, "--export", "gguf")
    card = read_card(user)
    assert card.count("<!-- codex-tui:adapter ") == card.count("<!-- codex-tui:gguf ") == 1
    assert "llama-server --model waves-1-Q4_K_M.gguf" in card
    assert "- 29 of 30 answers identical at Q4_K_M, loss per token +0.02." in card
    assert "waves-1-Q4_K_M.gguf" in user.hub.repos["model", REPO].commits[-1].files


def test_what_is_not_whole_or_not_proven_is_not_sent(user: HubUser) -> None:
    run = make_run(user)
    nothing = user.run_command("push", run.name, REPO, "--export", "merged")
    assert nothing.returncode == 2
    assert "There is no export in " in nothing.stderr
    assert f"codex-tui export {run.name} --to merged" in nothing.stderr
    folder = write_export(run, "merged", {"model.safetensors": b"weights"}, PROOF)
    (folder / "model.safetensors").write_bytes(b"Weights")
    changed = user.run_command("push", run.name, REPO, "--export", "merged")
    assert changed.returncode == 2
    assert "has changed or is gone: model.safetensors" in changed.stderr
    write_export(run, "gguf", {"a.gguf": b"GGUF"}, {**PROOF, "problems": ["30 of 30 prompts differ."]})
    failed = user.run_command("push", run.name, REPO, "--export", "gguf")
    assert failed.returncode == 2
    assert "The proof of this export failed. 30 of 30 prompts differ." in failed.stderr
    other = user.run_command("push", run.name, REPO, "--export", "merged", "--folder", str(run.exports / "gguf"))
    assert "has an export of waves-1 to gguf" in other.stderr
    assert user.run_command("push", run.name, REPO, "--folder", "x").returncode == 2
    write_export(run, "ollama", {"a.gguf": b"GGUF"}, adapter=b"earlier weights")
    (run.exports / "gguf").rename(run.exports / "failed")
    (run.exports / "ollama").rename(run.exports / "gguf")
    record = run.exports / "gguf" / "export.json"
    record.write_text(record.read_text().replace('"to": "ollama"', '"to": "gguf"'))
    earlier = user.run_command("push", run.name, REPO, "--export", "gguf")
    assert "The adapter of waves-1 has changed since this export." in earlier.stderr
    assert user.hub.writes() == []


def make_adapter(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """The weights of an adapter, all 0: merged, it changes nothing."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    data = json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + bytes(offset)


@pytest.fixture
def base_files(user: HubUser, trainer_python: Path) -> dict[str, bytes]:
    built = subprocess.run(
        [trainer_python, "-c", BUILD, user.home / "built"],
        env=trainer_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {path.name: path.read_bytes() for path in Path(built.stdout.splitlines()[-1]).iterdir()}


def test_the_original_base_comes_from_the_hub(
    user: HubUser, base_files: dict[str, bytes], trainer_python: Path
) -> None:
    licence = {"LICENSE.txt": b"Use it well.", "original/consolidated.pth": b"not needed"}
    user.hub.add("model", "me/Tiny", base_files | licence)
    run = make_run(user, base="me/Tiny-bnb-4bit", files=[f"{user.home}/gone.jsonl"])
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    weights = make_adapter({f"{module}.lora_A.weight": (4, 128), f"{module}.lora_B.weight": (128, 4)})
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (run.adapter / "adapter_model.safetensors").write_bytes(weights)
    (run.adapter / "adapter_config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (run.adapter / name).write_bytes(base_files[name])
    command = ["export", run.name, "--to", "merged", "--no-proof", "--python", trainer_python]
    missing = user.run_command(*command)  # there is no such 4-bit model
    assert missing.returncode == 2
    assert "There is no model repository me/Tiny-bnb-4bit on the Hub." in missing.stderr
    told = user.run_json(*command, "--base", "original")
    assert told["steps"]["merge"]["base"] == "me/Tiny"
    assert told["steps"]["card"]["made"]["base weights"].startswith("the original 16-bit weights")
    assert {"model.safetensors", "LICENSE.txt", "config.json"} <= set(told["files"])
    assert not any("consolidated" in request.path for request in user.hub.requests)
    again = user.run_json(*command, "--base", "original", "--out", user.home / "again", HF_HUB_OFFLINE="1")
    assert again["files"]["model.safetensors"] == told["files"]["model.safetensors"]
