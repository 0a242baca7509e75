"""What ships with the app, in the state in which a person first opens it: the profiles and the demo's sample."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codex_tui.base.locations import shipped_profiles
from codex_tui.profiles.resolve import load_profile
from codex_tui.profiles.schema import read_schema
from training.dataset.rows import read
from training.dataset.source import DEMO_DATASET, DEMO_FILE, local

PROFILES = sorted(shipped_profiles().glob("*.toml"))
CARDS = [path for path in PROFILES if path.stem != "demo"]
KNOB = re.compile(r"(?:# )?(\w+) = ")


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_shipped_profile_loads_and_says_what_it_is_for(path: Path) -> None:
    profile = load_profile(path)
    assert 0 < len(profile.title) <= 60
    assert 20 <= len(profile.description) <= 160


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_card_profile_has_every_field_below_its_help_text(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    table, found, comment = "", [], list[str]()
    for line in lines:
        if header := re.fullmatch(r"\[([\w.]+)\]", line):
            table, comment = header[1], []
        elif table and (name := KNOB.match(line)):
            found.append(f"{table}.{name[1]}")
            assert comment == read_schema()[found[-1]].comment, found[-1]
            comment = []
        elif line:
            comment.append(line)
    assert found == [path for path in read_schema() if "." in path]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_fields_left_out_of_a_card_profile_are_valid_when_uncommented(path: Path, tmp_path: Path) -> None:
    pattern = r"^# (?!messages_column|text_column)(\w+ = )"  # a row is read in one way
    text = re.sub(pattern, r"\1", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    uncommented = tmp_path / path.name
    uncommented.write_text(text, encoding="utf-8")
    profile = load_profile(uncommented)
    assert profile.hardware.vram_limit_mib is not None
    assert profile.launch.name is not None
    assert profile.evaluation.eval_steps is not None
    assert profile.checkpoints.save_steps is not None


def test_first_card_profile_is_the_one_promised_for_4_gb() -> None:
    profile = load_profile(shipped_profiles() / "rtx3050-4gb.toml")
    assert profile.model.name == "unsloth/Llama-3.2-3B-Instruct-bnb-4bit"
    assert profile.model.max_seq_length == 2048
    assert profile.model.load_in_4bit
    assert profile.lora.r == 16
    assert profile.training.per_device_train_batch_size == 1
    assert profile.training.gradient_accumulation_steps == 4
    assert profile.training.num_train_epochs == 1
    assert profile.training.gradient_checkpointing == "unsloth"
    assert profile.training.optim == "adamw_8bit"


def test_one_card_profile_puts_8_billion_parameters_on_4_gb() -> None:
    profile = load_profile(shipped_profiles() / "rtx3050-4gb-8b.toml")
    assert profile.model.name == "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit"
    assert profile.model.offload_layers == "auto"
    assert profile.model.offload_embedding


def test_sample_has_distinct_pairs_that_a_tiny_model_can_memorise() -> None:
    path = DEMO_FILE
    data = path.read_bytes()
    assert data.isascii()
    assert b"\r" not in data
    assert data.endswith(b"}\n")

    found = read(local(DEMO_DATASET))
    assert found.problems == []
    assert len(found.rows) >= 200
    assert len(found.rows) == data.count(b"\n")

    pairs = [json.loads(line) for line in data.splitlines()]
    assert all(list(pair) == ["instruction", "response"] for pair in pairs)
    assert len({pair["instruction"].lower() for pair in pairs}) == len(pairs)
    assert len({pair["response"].lower() for pair in pairs}) == len(pairs) / 2  # each is asked in two ways
    for pair in pairs:
        assert 5 <= len(pair["instruction"].split()) <= 14, pair
        assert 6 <= len(pair["response"].split()) <= 22, pair
        assert all(text == " ".join(text.split()) for text in pair.values()), pair


def test_sample_says_that_it_is_one() -> None:
    text = (DEMO_FILE.parent / "README.md").read_text(encoding="utf-8")
    assert "written for this project" in text
    assert "not affiliated" in text
