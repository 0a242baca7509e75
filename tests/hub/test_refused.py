"""Tests the errors for missing rights, missing repositories and a Hub that does not answer. None shows the token."""

import pytest
from support.hub.user import HubUser

REPO = "me/waves"


@pytest.mark.parametrize("command", [["push", "train.jsonl"], ["pull"], ["status", "train.jsonl"]])
def test_a_wrong_token_is_named_by_its_place_only(user: HubUser, command: list[str]) -> None:
    user.write_rows("train.jsonl", 20)
    user.hub.add("dataset", REPO, {"train.jsonl": b"{}"})
    wrong = "hf_" + "w" * 34
    refused = user.run_command("data", *command, REPO, HF_TOKEN=wrong)
    assert refused.returncode == 2
    assert "does not accept the token in $HF_TOKEN" in refused.stderr
    assert wrong not in refused.stderr
    assert user.hub.writes() == []


def test_a_token_of_impossible_characters_is_not_quoted(user: HubUser) -> None:
    refused = user.run_command("data", "push", user.write_rows("train.jsonl", 20), REPO, HF_TOKEN="hf_ünmöglich secret")
    assert refused.returncode == 2
    assert "has invalid characters" in refused.stderr
    assert "möglich" not in refused.stderr


def test_without_a_token_nothing_is_sent(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 20)
    refused = user.run_command("data", "push", file, REPO, HF_TOKEN=None)
    assert refused.returncode == 2
    assert "No Hub token found" in refused.stderr
    assert "hf auth login" in refused.stderr
    assert user.hub.requests == []


def test_the_token_file_is_used(user: HubUser) -> None:
    path = user.home / "elsewhere" / "token"
    path.parent.mkdir()
    path.write_text(user.token)
    told = user.run_json(
        "data", "push", user.write_rows("train.jsonl", 20), REPO, HF_TOKEN=None, HF_TOKEN_PATH=str(path)
    )
    assert told["created"]
    path.unlink()  # it may be left only here


def test_a_repository_that_is_not_there(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 20)
    for command in (["pull"], ["status", file]):
        refused = user.run_command("data", *command, "me/nowhere")
        assert refused.returncode == 2
        assert "no dataset repository me/nowhere" in refused.stderr
    user.run_json("data", "push", file, REPO)
    refused = user.run_command("data", "pull", REPO, "--revision", "no-such")
    assert refused.returncode == 2
    assert "no such revision" in refused.stderr
    unseen = user.run_command("data", "pull", "me/nowhere", HF_TOKEN=None)
    assert unseen.returncode == 2
    assert "private or does not exist" in unseen.stderr


def test_user_elses_name_and_a_gated_repository(user: HubUser) -> None:
    refused = user.run_command("data", "push", user.write_rows("train.jsonl", 20), "others/waves")
    assert refused.returncode == 2
    assert "may not write to others/waves" in refused.stderr
    user.hub.add("dataset", "them/secret", {"train.jsonl": b"{}"}).gated = True
    gated = user.run_command("data", "pull", "them/secret")
    assert gated.returncode == 2
    assert "gated" in gated.stderr


@pytest.mark.parametrize("name", ["waves", "a/b/c", "../x", "a/..", "a b/c", "-a/b", "a/b.git", "a/" + "b" * 200])
def test_a_name_that_no_repository_has(user: HubUser, name: str) -> None:
    refused = user.run_command("data", "push", user.write_rows("train.jsonl", 2), "--", name)
    assert refused.returncode == 2
    assert "owner/name" in refused.stderr
    assert user.hub.requests == []


def test_the_hub_does_not_answer(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 20)
    user.hub.stop()
    for command in (["push", file], ["pull"], ["status", file]):
        failed = user.run_command("data", *command, REPO)
        assert failed.returncode == 1
        assert "can't be reached" in failed.stderr


@pytest.mark.parametrize("address", ["http://[::1", "nonsense", "http://127.0.0.1:99999", ""])
def test_an_endpoint_that_is_not_an_address(user: HubUser, address: str) -> None:
    refused = user.run_command("data", "pull", REPO, HF_ENDPOINT=address)
    assert refused.returncode == 2
    assert "HF_ENDPOINT is not a valid address" in refused.stderr


def test_the_password_in_an_address_is_not_shown(user: HubUser) -> None:
    failed = user.run_command("data", "pull", REPO, HF_ENDPOINT="http://me:geheim@127.0.0.1:1")
    assert failed.returncode == 1
    assert "127.0.0.1:1" in failed.stderr
    assert "geheim" not in failed.stderr


def test_files_that_can_not_be_mirrored(user: HubUser) -> None:
    empty = user.home / "empty.jsonl"
    empty.write_text("\n")
    named = user.home / "README.md"
    named.write_text("{}")
    wrong = {named: "can't be mirrored: its name must end in", empty: "no rows", user.home: "not a file"}
    for file, word in {**wrong, user.home / "none.jsonl": "no such"}.items():
        refused = user.run_command("data", "push", file, REPO)
        assert refused.returncode == 2
        assert word in refused.stderr
    assert user.hub.requests == []
