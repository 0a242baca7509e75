"""Tests fetching a data file, using it offline, and comparing it with the local one."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from support.hub.person import Person
from support.programs import PROGRAMS

REPO = "me/waves"


def test_what_is_pulled_is_what_was_pushed_and_serves_offline(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    revision = person.says("data", "push", file, REPO)["revision"]
    folder = person.home / "there"
    result = person.says("data", "pull", REPO, "--to", folder)
    assert result == {
        "repo": REPO,
        "revision": revision,
        "offline": False,
        "files": [{"path": str(folder / "train.jsonl"), "rows": 200}],
    }
    assert (folder / "train.jsonl").read_bytes() == file.read_bytes()
    person.hub.stop()
    for options in ([], ["--revision", revision]):
        again = person.says("data", "pull", REPO, *options)
        assert again["revision"] == revision
        assert Path(again["files"][0]["path"]).read_bytes() == file.read_bytes()
    assert "can't be reached" in person.runs("data", "pull", REPO).stderr
    person.says("data", "pull", REPO, HF_HUB_OFFLINE="1")


def test_a_pull_leaves_alone_what_differs(person: Person) -> None:
    person.says("data", "push", person.file("train.jsonl", 200), REPO)
    folder = person.home / "there"
    folder.mkdir()
    mine = folder / "train.jsonl"
    mine.write_text("mine\n")
    refused = person.runs("data", "pull", REPO, "--to", folder)
    assert refused.returncode == 2
    assert "differs" in refused.stderr
    assert mine.read_text() == "mine\n"
    person.says("data", "pull", REPO, "--to", folder, "--replace")
    assert len(mine.read_text().splitlines()) == 200
    assert sorted(folder.iterdir()) == [mine]


def test_an_old_revision_is_pulled_by_its_commit(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    old = person.says("data", "push", file, REPO)["revision"]
    person.file("train.jsonl", 250)
    person.says("data", "push", file, REPO)
    assert person.says("data", "pull", REPO, "--revision", old)["files"][0]["rows"] == 200
    assert person.says("data", "pull", REPO)["files"][0]["rows"] == 250


def test_status_says_which_is_newer(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    person.says("data", "push", file, REPO)
    there = person.hub.dataset(REPO)
    same = person.says("data", "status", file, REPO)
    assert same["newer"] == "same"
    assert same["local"]["sha256"] == same["remote"]["sha256"]
    assert same["remote"]["rows"] == 200
    assert same["remote"]["revision"] == there.commits[-1].sha

    person.file("train.jsonl", 210)
    newer = person.says("data", "status", file, REPO)
    assert newer["newer"] == "local"
    assert (newer["local"]["rows"], newer["remote"]["rows"]) == (210, 200)

    os.utime(file, (1_000_000_000, 1_000_000_000))
    there.commit({"README.md": b"a card of 2031"}, date=datetime(2031, 1, 1, tzinfo=UTC))
    assert person.says("data", "status", file, REPO)["newer"] == "remote"
    assert "Download it:" in person.runs("data", "status", file, REPO).stdout

    other = person.file("other.jsonl", 3)  # another name here, but the only data file there
    found = person.says("data", "status", other, REPO)["remote"]
    assert (found["file"], found["rows"]) == ("train.jsonl", 200)  # counted, because the card does not have the number


def test_status_of_a_file_so_small_that_the_hub_gives_no_sha256(person: Person) -> None:
    file = person.file("train.jsonl", 5)
    sent = sha256(file.read_bytes()).hexdigest()
    person.says("data", "push", file, REPO)
    assert person.says("data", "status", file, REPO)["newer"] == "same"
    person.file("train.jsonl", 6)
    changed = person.says("data", "status", file, REPO)
    assert (changed["remote"]["rows"], changed["remote"]["sha256"]) == (5, sent)
    person.file("train.jsonl", 5)
    assert person.says("data", "push", file, REPO)["sent"] == []


def test_a_card_that_is_younger_makes_no_data_newer(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    person.says("data", "push", file, REPO)
    person.file("train.jsonl", 201)
    person.hub.dataset(REPO).commit({"README.md": b"later"}, date=datetime(2041, 1, 1, tzinfo=UTC))
    assert person.says("data", "status", file, REPO)["newer"] == "local"


def test_fetch_dataset_gives_files_and_commit(person: Person) -> None:
    """As the launcher calls it."""
    rows = json.dumps({"instruction": "a", "response": "b"}).encode() + b"\n"
    files = {"data/train-0.jsonl": rows, "test.csv": b"a,b\n", "dataset_infos.json": b"{}", ".x/y.json": b"{}"}
    repo = person.hub.add("dataset", REPO, {**files, "README.md": b"card"})

    def fetched() -> tuple[list[str], str]:
        done = subprocess.run(
            [sys.executable, PROGRAMS / "fetch_dataset.py", f"hf://{REPO}"],
            env=person.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    found, commit = fetched()
    assert commit == repo.commits[-1].sha
    assert [Path(path).name for path in found] == ["train-0.jsonl", "test.csv"]
    person.hub.stop()
    assert fetched() == [found, commit]
