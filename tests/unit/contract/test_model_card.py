"""The model card: which facts it has, and what it must not have."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from training.contract.config import Fingerprint, Hub, RowForm, RunConfig
from training.contract.model_card import ExportedModel, Results, hide_home, make_model_card
from training.contract.profile import Profile

EVIL = "\x1b]0;owned\x07 | <b> ``` \u202e"


def make_config(**changes: Any) -> RunConfig:
    profile = Profile.model_validate(
        {"title": "A guide", "model": {"name": "meta/Tiny"}, "dataset": {"path": "x.jsonl"}}
    )
    values = {"profile": profile.model_dump(mode="json"), "dataset": "demo:zombie-waves", "cache": "/nowhere"} | changes
    return RunConfig(**values)


def make_card(config: RunConfig, results: Results | None = None, old: str = "", run: str = "waves-1") -> str:
    return make_model_card(old, run, run, config, results or Results("done", 20, 20))


def read_profile(card: str) -> dict[str, Any]:
    return tomllib.loads(card.split("toml\n")[1].split("\n```")[0])


def test_it_has_the_results_of_training() -> None:
    evals = [(5, 1.9), (10, 1.25), (15, 1.25), (20, 1.5)]
    results = Results("done", 20, 40, loss=(20, 0.75), evals=evals, adapter_step=10, device="cuda:0 (RTX 3050)")
    card = make_card(make_config(stack={"torch": "2.13.0", "bitsandbytes": None}), results)
    for fact in (
        "# waves-1",
        "| state | done |",
        "| steps | 20 of 40 |",
        "| last training loss | 0.7500 (step 20) |",
        "| last evaluation loss | 1.5000 (step 20) |",
        "| best evaluation loss | 1.2500 (step 10) |",
        "| weights of step | 10 |",
        "| device | cuda:0 (RTX 3050) |",
        "| torch | 2.13.0 |",
        'base_model: "meta/Tiny"',
    ):
        assert fact in card
    assert "bitsandbytes" not in card


def test_the_profile_on_it_can_be_trained_again() -> None:
    config = make_config()
    assert Profile.model_validate(read_profile(make_card(config))) == Profile.model_validate(config.profile)


def test_folders_of_the_person_are_not_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    profile = {
        "title": "see /home/al/notes",
        "model": {"name": "/home/al/models/tiny"},
        "dataset": {"path": "/home/al/secret/rows.jsonl"},
    }
    card = make_card(make_config(profile=profile, dataset="/home/al/secret/rows.jsonl"))
    assert "/home/al" not in card
    assert "secret" not in card
    assert "base_model:" not in card
    assert read_profile(card)["model"] == {"name": "tiny"}
    assert "| name | rows.jsonl |" in card


def test_a_dataset_of_the_hub_keeps_its_name() -> None:
    fingerprint = Fingerprint(sha256="ab" * 32, rows=20_000)
    card = make_card(make_config(dataset="al/rows", hub=Hub("al/rows", "main"), dataset_fingerprint=fingerprint))
    assert "| name | al/rows |" in card
    assert "| rows | 20,000 |" in card


def test_hostile_text_comes_out_harmless() -> None:
    profile = {"title": EVIL, "description": "hf_" + "p" * 34, "model": {"name": f"/x/{EVIL}"}}
    card = make_card(make_config(profile=profile, dataset=f"/x/{EVIL}", stack={"torch": EVIL}), run=f"{EVIL}-->")
    assert all(character.isprintable() for character in card.replace("\n", ""))
    assert "<b>" not in card.split("-->", 1)[1].split("## Profile")[0]
    assert card.count("-->") == 2
    assert "````toml" in card
    assert "hf_p" not in card


def test_what_the_person_wrote_on_it_stays() -> None:
    card = make_card(make_config()) + "\n## Use\n\nAt sea.\n"
    again = make_card(make_config(stack={"torch": "2.14.0"}), old=card)
    assert again.endswith("\n## Use\n\nAt sea.\n")
    assert "| torch | 2.14.0 |" in again
    assert again.count("codex-tui:adapter") == 1


def test_a_home_is_hidden_and_another_that_begins_like_it_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    assert hide_home('"/home/al/rows.jsonl", /home/al') == '"~/rows.jsonl", ~'
    assert hide_home("/home/alice/rows.jsonl") == "/home/alice/rows.jsonl"
    monkeypatch.setenv("HOME", "/")
    assert hide_home("/rows.jsonl") == "/rows.jsonl"


def test_it_loads_the_model_in_six_lines() -> None:
    form = {"row_form": RowForm(system_prompt='Say "yes".\n```', max_tokens=80)}
    card = make_model_card("", "waves", "waves-1", make_config(**form), Results("done", 1), place="me/waves")
    lines = card.split("````python\n")[1].split("\n````")[0].splitlines()
    assert len(lines) == 6
    compile("\n".join(lines), "card", "exec")
    assert 'AutoPeftModelForCausalLM.from_pretrained("me/waves", device_map="auto")' in lines[2]
    assert r'{"role": "system", "content": "Say \"yes\".\n```"}' in lines[4]
    assert "| chat template | that of the base model, in the tokenizer's files |" in card
    assert "| longest row | 80 tokens |" in card
    text = make_model_card("", "waves", "waves-1", make_config(row_form=RowForm(text=True)), Results("done", 1))
    assert 'tokenizer("The beginning of a text", return_tensors="pt")' in text
    assert "no chat template" in text


def test_the_cards_of_exported_models() -> None:
    merged = ExportedModel("merged", {"base weights": EVIL}, {"model.safetensors": "2.0 GB"}, ["- 30 of 30 identical"])
    gguf = ExportedModel("gguf", {}, {"waves-Q8_0.gguf": "1.0 GB"})
    card = make_model_card("", "waves", "waves-1", make_config(), Results("done", 1), exported=merged)
    assert "library_name: transformers\n" in card
    assert "AutoModelForCausalLM.from_pretrained" in card
    assert "## Proof\n\n- 30 of 30 identical\n" in card
    assert "| model.safetensors | 2.0 GB |" in card
    assert "\x1b" not in card
    both = make_model_card(card, "waves", "waves-1", make_config(), Results("done", 1), exported=gguf)
    assert "llama-server --model waves-Q8_0.gguf" in both
    assert both.count("codex-tui:merged") == both.count("codex-tui:gguf") == 1
    front = make_model_card("", "waves", "waves-1", make_config(), Results("done", 1), exported=gguf).split("---\n")[1]
    assert "base_model_relation: quantized\n" in front
    assert "- gguf\n" in front
