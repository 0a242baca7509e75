"""Tests pushing a data file: what is sent, what the card says, and who may read it."""

from hashlib import sha256

import pytest
from support.hub.person import Person

REPO = "me/waves"


def test_the_first_push_makes_a_private_repository_with_the_file_and_a_card(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    result = person.says("data", "push", file, REPO)
    assert person.hub.created == [
        {"name": "waves", "organization": "me", "type": "dataset", "visibility": "private"},
    ]
    there = person.hub.dataset(REPO)
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
    commit = next(n for n, request in enumerate(person.hub.requests) if "/commit/" in request.path)
    after = [(request.method, request.path) for request in person.hub.requests[commit + 1 :]]
    assert ("GET", f"/datasets/{REPO}/resolve/{result['revision']}/train.jsonl") in after


def test_a_push_of_the_same_sends_nothing(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    person.says("data", "push", file, REPO)
    person.hub.requests.clear()
    result = person.says("data", "push", file, REPO)
    assert person.hub.sent() == []
    assert result["sent"] == []
    assert len(person.hub.dataset(REPO).commits) == 2  # the repository's own first, and ours
    assert result["revision"] == person.hub.dataset(REPO).commits[-1].sha
    assert "Nothing to send" in person.runs("data", "push", file, REPO).stdout


def test_a_changed_push_sends_what_has_changed(person: Person) -> None:
    first, second = person.file("train.jsonl", 200), person.file("more.jsonl", 300)
    person.says("data", "push", first, REPO)
    person.says("data", "push", second, REPO)
    person.file("train.jsonl", 201)
    person.hub.requests.clear()
    result = person.says("data", "push", first, REPO)
    assert sorted(result["sent"]) == ["README.md", "train.jsonl"]
    assert [request.size for request in person.hub.requests if request.method == "PUT"] == [first.stat().st_size]
    there = person.hub.dataset(REPO).commits[-1].files
    assert there["train.jsonl"] == first.read_bytes()
    assert there["more.jsonl"] == second.read_bytes()
    card = there["README.md"].decode()
    assert "| rows | 201 |" in card
    assert "| rows | 300 |" in card
    assert "| rows | 200 |" not in card


def test_what_a_person_wrote_on_the_card_stays(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    person.says("data", "push", file, REPO)
    there = person.hub.dataset(REPO)
    card = there.commits[-1].files["README.md"].decode().replace("license: unknown", "license: mit")
    there.commit({"README.md": f"{card}\nCollected by hand.\n".encode()})
    person.file("train.jsonl", 210)
    person.says("data", "push", file, REPO)
    new = there.commits[-1].files["README.md"].decode()
    assert "license: mit" in new
    assert new.endswith("\nCollected by hand.\n")
    assert "| rows | 210 |" in new
    person.says("data", "push", file, REPO, "--licence", "cc-by-4.0")
    assert "license: cc-by-4.0\n" in there.commits[-1].files["README.md"].decode()


@pytest.mark.parametrize("options", [["--public"], ["--yes-public"]])
def test_one_public_option_is_not_enough(person: Person, options: list[str]) -> None:
    file = person.file("train.jsonl", 20)
    refused = person.runs("data", "push", file, REPO, *options)
    assert refused.returncode == 2
    assert "makes nothing public" in refused.stderr
    assert person.hub.requests == []


def test_both_options_make_it_public(person: Person) -> None:
    file = person.file("train.jsonl", 20)
    result = person.says("data", "push", file, REPO, "--public", "--yes-public")
    assert not result["private"]
    assert person.hub.created[0]["visibility"] == "public"

    private = "me/quiet"
    person.says("data", "push", file, private)
    assert person.hub.dataset(private).private
    assert person.says("data", "push", file, private, "--public", "--yes-public")["made_public"]
    assert not person.hub.dataset(private).private


def test_nothing_new_goes_to_a_public_repository_without_both_options(person: Person) -> None:
    file = person.file("train.jsonl", 20)
    person.says("data", "push", file, REPO, "--public", "--yes-public")
    assert person.says("data", "push", file, REPO)["sent"] == []
    person.file("train.jsonl", 21)
    person.hub.requests.clear()
    refused = person.runs("data", "push", file, REPO)
    assert refused.returncode == 2
    assert "--public --yes-public" in refused.stderr
    assert person.hub.sent() == []


def test_a_csv_and_a_file_with_bad_rows(person: Person) -> None:
    table = person.home / "train.csv"
    table.write_text("instruction,response\nask,answer\nask,\n")
    done = person.runs("data", "push", table, REPO)
    assert done.returncode == 0
    assert "1 of the rows can't be used for training" in done.stderr
    assert (
        "| rows that can't be used for training | 1 |"
        in person.hub.dataset(REPO).commits[-1].files["README.md"].decode()
    )


def test_hostile_names_and_cards_come_out_harmless(person: Person) -> None:
    file = person.file("a`|<b>-->.jsonl", 3)
    person.says("data", "push", file, REPO)
    card = person.hub.dataset(REPO).commits[-1].files["README.md"].decode()
    assert card.count("-->") == 2
    assert "<b>" not in card.split("-->", 1)[1]
    assert person.says("data", "push", file, REPO)["sent"] == []
    person.hub.dataset(REPO).commit({"\x1b]0;x\x07.jsonl": b"{}\n"})
    assert "\x1b" not in person.runs("data", "pull", REPO).stdout
