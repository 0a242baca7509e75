"""Tests pushing a data file: what is sent, what the card says, and who may read it."""

from hashlib import sha256

import pytest
from support.hub.user import HubUser

REPO = "me/waves"


def test_the_first_push_makes_a_private_repository_with_the_file_and_a_card(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200)
    result = user.run_json("data", "push", file, REPO)
    assert user.hub.created == [
        {"name": "waves", "organization": "me", "type": "dataset", "visibility": "private"},
    ]
    there = user.hub.dataset(REPO)
    assert there.private
    assert there.commits[-1].files["train.jsonl"] == file.read_bytes()
    digest = sha256(file.read_bytes()).hexdigest()
    card = there.commits[-1].files["README.md"].decode()
    assert card.startswith("---\nlicense: unknown # to fill in")
    for fact in ("| rows | 200 |", "| shape | instruction |", f"`{digest}`", "instruction, response"):
        assert fact in card
    assert result["created"]
    assert result["private"]
    assert (result["rows"], result["sha256"]) == (200, digest)
    assert result["revision"] == there.commits[-1].sha
    assert sorted(result["sent"]) == ["README.md", "train.jsonl"]
    # The file is read back at the new commit.
    commit = next(n for n, request in enumerate(user.hub.requests) if "/commit/" in request.path)
    after = [(request.method, request.path) for request in user.hub.requests[commit + 1 :]]
    assert ("GET", f"/datasets/{REPO}/resolve/{result['revision']}/train.jsonl") in after


def test_a_push_of_the_same_sends_nothing(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200)
    user.run_json("data", "push", file, REPO)
    user.hub.requests.clear()
    result = user.run_json("data", "push", file, REPO)
    assert user.hub.writes() == []
    assert result["sent"] == []
    assert len(user.hub.dataset(REPO).commits) == 2  # the repository's own first, and ours
    assert result["revision"] == user.hub.dataset(REPO).commits[-1].sha
    assert "Nothing to send" in user.run_command("data", "push", file, REPO).stdout


def test_a_changed_push_sends_what_has_changed(user: HubUser) -> None:
    first, second = user.write_rows("train.jsonl", 200), user.write_rows("more.jsonl", 300)
    user.run_json("data", "push", first, REPO)
    user.run_json("data", "push", second, REPO)
    user.write_rows("train.jsonl", 201)
    user.hub.requests.clear()
    result = user.run_json("data", "push", first, REPO)
    assert sorted(result["sent"]) == ["README.md", "train.jsonl"]
    assert [request.size for request in user.hub.requests if request.method == "PUT"] == [first.stat().st_size]
    there = user.hub.dataset(REPO).commits[-1].files
    assert there["train.jsonl"] == first.read_bytes()
    assert there["more.jsonl"] == second.read_bytes()
    card = there["README.md"].decode()
    assert "| rows | 201 |" in card
    assert "| rows | 300 |" in card
    assert "| rows | 200 |" not in card


def test_what_a_person_wrote_on_the_card_stays(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200)
    user.run_json("data", "push", file, REPO)
    there = user.hub.dataset(REPO)
    card = there.commits[-1].files["README.md"].decode().replace("license: unknown", "license: mit")
    there.commit({"README.md": f"{card}\nCollected by hand.\n".encode()})
    user.write_rows("train.jsonl", 210)
    user.run_json("data", "push", file, REPO)
    new = there.commits[-1].files["README.md"].decode()
    assert "license: mit" in new
    assert new.endswith("\nCollected by hand.\n")
    assert "| rows | 210 |" in new
    user.run_json("data", "push", file, REPO, "--licence", "cc-by-4.0")
    assert "license: cc-by-4.0\n" in there.commits[-1].files["README.md"].decode()


@pytest.mark.parametrize("options", [["--public"], ["--yes-public"]])
def test_one_public_option_is_not_enough(user: HubUser, options: list[str]) -> None:
    file = user.write_rows("train.jsonl", 20)
    refused = user.run_command("data", "push", file, REPO, *options)
    assert refused.returncode == 2
    assert "makes nothing public" in refused.stderr
    assert user.hub.requests == []


def test_both_options_make_it_public(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 20)
    result = user.run_json("data", "push", file, REPO, "--public", "--yes-public")
    assert not result["private"]
    assert user.hub.created[0]["visibility"] == "public"

    private = "me/quiet"
    user.run_json("data", "push", file, private)
    assert user.hub.dataset(private).private
    assert user.run_json("data", "push", file, private, "--public", "--yes-public")["made_public"]
    assert not user.hub.dataset(private).private


def test_nothing_new_goes_to_a_public_repository_without_both_options(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 20)
    user.run_json("data", "push", file, REPO, "--public", "--yes-public")
    assert user.run_json("data", "push", file, REPO)["sent"] == []
    user.write_rows("train.jsonl", 21)
    user.hub.requests.clear()
    refused = user.run_command("data", "push", file, REPO)
    assert refused.returncode == 2
    assert "--public --yes-public" in refused.stderr
    assert user.hub.writes() == []


def test_a_csv_and_a_file_with_bad_rows(user: HubUser) -> None:
    table = user.home / "train.csv"
    table.write_text("instruction,response\nask,answer\nask,\n")
    done = user.run_command("data", "push", table, REPO)
    assert done.returncode == 0
    assert "1 of the rows can't be used for training" in done.stderr
    assert (
        "| rows that can't be used for training | 1 |" in user.hub.dataset(REPO).commits[-1].files["README.md"].decode()
    )


def test_hostile_names_and_cards_come_out_harmless(user: HubUser) -> None:
    file = user.write_rows("a`|<b>-->.jsonl", 3)
    user.run_json("data", "push", file, REPO)
    card = user.hub.dataset(REPO).commits[-1].files["README.md"].decode()
    assert card.count("-->") == 2
    assert "<b>" not in card.split("-->", 1)[1]
    assert user.run_json("data", "push", file, REPO)["sent"] == []
    user.hub.dataset(REPO).commit({"\x1b]0;x\x07.jsonl": b"{}\n"})
    assert "\x1b" not in user.run_command("data", "pull", REPO).stdout
