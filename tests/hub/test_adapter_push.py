"""Tests pushing the adapter of a run and its model card to a Hub on the loopback interface."""

import json
import os
from pathlib import Path

import pytest
from support.config_file import write_config
from support.hub.adapter_run import FILES, REPO, TOKEN_IN_PROFILE, make_run, read_card
from support.hub.user import HubUser

from training.contract.process import ProcessIdentity


def test_the_adapter_goes_with_a_card_to_a_private_repository(user: HubUser) -> None:
    run = make_run(user)
    result = user.run_json("push", run.name, REPO)
    there = user.hub.repos["model", REPO]
    assert there.private
    assert user.hub.created[0]["visibility"] == "private"
    files = there.commits[-1].files
    for name, content in FILES.items():
        if name != "README.md":
            assert files[name] == content
    assert result["private"]
    assert result["base_model"] == "meta/Tiny"
    assert result["revision"] == there.commits[-1].sha
    card = read_card(user)
    front = card.split("---\n")[1]
    assert 'base_model: "meta/Tiny"\n' in front
    assert "library_name: peft\n" in front
    assert "- lora\n" in front
    for fact in (
        "| steps | 20 of 20 |",
        "| last training loss | 0.7500 (step 20) |",
        "| last evaluation loss | 1.5000 (step 20) |",
        "| best evaluation loss | 1.2500 (step 10) |",
        f"| sha256 | {'ab' * 32} |",
        "| rows | 200 |",
        "| evaluation rows | 10 |",
        "| name | train.jsonl |",
        "max_seq_length = 512",
        "| torch | 2.13.0 |",
    ):
        assert fact in card


def test_the_card_has_neither_a_token_nor_the_home_folder(user: HubUser) -> None:
    make_run(user)
    user.run_json("push", "last", REPO)
    card = read_card(user)
    assert TOKEN_IN_PROFILE not in card
    assert "hf_…" in card
    assert str(user.home) not in card
    assert "secret-folder" not in card
    assert "````toml" in card  # a profile can't end its own code fence


def test_a_second_push_sends_only_what_has_changed(user: HubUser) -> None:
    run = make_run(user)
    user.run_json("push", run.name, REPO)
    user.hub.requests.clear()
    assert user.run_json("push", run.name, REPO)["sent"] == []
    assert user.hub.writes() == []
    weights = run.adapter / "adapter_model.safetensors"
    weights.write_bytes(bytes(100_000))
    assert user.run_json("push", run.name, REPO)["sent"] == ["adapter_model.safetensors"]
    assert user.hub.repos["model", REPO].commits[-1].files[weights.name] == bytes(100_000)


def test_a_local_base_model_is_named_and_warned_of(user: HubUser) -> None:
    make_run(user, base=f"{user.home}/models/tiny")
    done = user.run_command("push", "last", REPO)
    assert done.returncode == 0
    assert "no repository on the Hub" in done.stderr
    card = read_card(user)
    assert "base_model:" not in card
    assert "`tiny`" in card
    assert str(user.home) not in card


@pytest.mark.parametrize("options", [["--public"], ["--yes-public"]])
def test_one_public_option_is_not_enough(user: HubUser, options: list[str]) -> None:
    make_run(user)
    assert user.run_command("push", "last", REPO, *options).returncode == 2
    assert user.hub.requests == []


def test_both_options_make_it_public(user: HubUser) -> None:
    make_run(user)
    user.run_json("push", "last", REPO)
    assert user.run_json("push", "last", REPO, "--public", "--yes-public")["made_public"]
    assert not user.hub.repos["model", REPO].private


def test_a_run_without_an_adapter_or_that_trains_is_refused(user: HubUser) -> None:
    run = make_run(user)
    run.write_process(ProcessIdentity.current())
    training = user.run_command("push", "last", REPO)
    assert training.returncode == 2
    assert "is training" in training.stderr
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    (run.adapter / "adapter_config.json").unlink()
    bare = user.run_command("push", "last", REPO)
    assert bare.returncode == 2
    assert "no adapter" in bare.stderr
    assert user.run_command("push", "no-such-run", REPO).returncode == 2
    assert user.hub.requests == []


def test_a_wrong_token_sends_nothing(user: HubUser) -> None:
    make_run(user)
    refused = user.run_command("push", "last", REPO, HF_TOKEN="hf_" + "w" * 34)
    assert refused.returncode == 2
    assert "does not accept the token" in refused.stderr
    assert user.hub.writes() == []


def test_the_parts_that_a_person_wrote_stay(user: HubUser) -> None:
    run = make_run(user)
    user.run_json("push", "last", REPO)
    there = user.hub.repos["model", REPO]
    there.commit({"README.md": f"{read_card(user)}\n## Use\n\nAt sea.\n".encode()})
    config = json.loads(run.config.read_text())
    write_config(run, {**config, "stack": {"torch": "2.14.0"}})
    assert user.run_json("push", "last", REPO)["sent"] == ["README.md"]
    assert read_card(user).endswith("\n## Use\n\nAt sea.\n")
    assert "| torch | 2.14.0 |" in read_card(user)
    assert read_card(user).count("codex-tui:adapter") == 1


def test_links_and_hidden_files_are_not_sent(user: HubUser) -> None:
    run = make_run(user)
    elsewhere = Path(user.home / "private.txt")
    elsewhere.write_text("private")
    (run.adapter / "notes.txt").symlink_to(elsewhere)
    (run.adapter / ".env").write_text("private")
    user.run_json("push", "last", REPO)
    assert not {"notes.txt", ".env"} & set(user.hub.repos["model", REPO].commits[-1].files)
