"""Tests fetching a data file, using it offline, and comparing it with the local one."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from support.hub.user import HubUser
from support.programs import PROGRAMS

REPO = "me/waves"


def test_what_is_pulled_is_what_was_pushed_and_serves_offline(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200)
    revision = user.run_json("data", "push", file, REPO)["revision"]
    folder = user.home / "there"
    result = user.run_json("data", "pull", REPO, "--to", folder)
    assert result == {
        "repo": REPO,
        "revision": revision,
        "offline": False,
        "files": [{"path": str(folder / "train.jsonl"), "rows": 200}],
    }
    assert (folder / "train.jsonl").read_bytes() == file.read_bytes()
    user.hub.stop()
    for options in ([], ["--revision", revision]):
        again = user.run_json("data", "pull", REPO, *options)
        assert again["revision"] == revision
        assert Path(again["files"][0]["path"]).read_bytes() == file.read_bytes()
    assert "can't be reached" in user.run_command("data", "pull", REPO).stderr
    user.run_json("data", "pull", REPO, HF_HUB_OFFLINE="1")


def test_a_pull_asks_for_nothing_but_the_dataset(user: HubUser) -> None:
    """With a new HF_HOME, the library would ask for the list of coding agents, to report which one runs it."""
    user.run_json("data", "push", user.write_rows("train.jsonl", 200), REPO)
    user.hub.requests.clear()
    user.run_json("data", "pull", REPO, HF_HOME=str(user.home / "new"))
    assert user.hub.requests
    assert [request.path for request in user.hub.requests if REPO not in request.path] == []


def test_a_pull_leaves_alone_what_differs(user: HubUser) -> None:
    user.run_json("data", "push", user.write_rows("train.jsonl", 200), REPO)
    folder = user.home / "there"
    folder.mkdir()
    mine = folder / "train.jsonl"
    mine.write_text("mine\n")
    refused = user.run_command("data", "pull", REPO, "--to", folder)
    assert refused.returncode == 2
    assert "differs" in refused.stderr
    assert mine.read_text() == "mine\n"
    user.run_json("data", "pull", REPO, "--to", folder, "--replace")
    assert len(mine.read_text().splitlines()) == 200
    assert sorted(folder.iterdir()) == [mine]


def test_an_old_revision_is_pulled_by_its_commit(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200)
    old = user.run_json("data", "push", file, REPO)["revision"]
    user.write_rows("train.jsonl", 250)
    user.run_json("data", "push", file, REPO)
    assert user.run_json("data", "pull", REPO, "--revision", old)["files"][0]["rows"] == 200
    assert user.run_json("data", "pull", REPO)["files"][0]["rows"] == 250


def test_status_says_which_is_newer(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200)
    user.run_json("data", "push", file, REPO)
    there = user.hub.dataset(REPO)
    same = user.run_json("data", "status", file, REPO)
    assert same["newer"] == "same"
    assert same["local"]["sha256"] == same["remote"]["sha256"]
    assert same["remote"]["rows"] == 200
    assert same["remote"]["revision"] == there.commits[-1].sha

    user.write_rows("train.jsonl", 210)
    newer = user.run_json("data", "status", file, REPO)
    assert newer["newer"] == "local"
    assert (newer["local"]["rows"], newer["remote"]["rows"]) == (210, 200)

    os.utime(file, (1_000_000_000, 1_000_000_000))
    there.commit({"README.md": b"a card of 2031"}, date=datetime(2031, 1, 1, tzinfo=UTC))
    assert user.run_json("data", "status", file, REPO)["newer"] == "remote"
    assert "Download it:" in user.run_command("data", "status", file, REPO).stdout

    other = user.write_rows("other.jsonl", 3)  # another name here, but the only data file there
    found = user.run_json("data", "status", other, REPO)["remote"]
    assert (found["file"], found["rows"]) == ("train.jsonl", 200)  # counted, because the card does not have the number


def test_status_of_a_file_so_small_that_the_hub_gives_no_sha256(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 5)
    sent = sha256(file.read_bytes()).hexdigest()
    user.run_json("data", "push", file, REPO)
    assert user.run_json("data", "status", file, REPO)["newer"] == "same"
    user.write_rows("train.jsonl", 6)
    changed = user.run_json("data", "status", file, REPO)
    assert (changed["remote"]["rows"], changed["remote"]["sha256"]) == (5, sent)
    user.write_rows("train.jsonl", 5)
    assert user.run_json("data", "push", file, REPO)["sent"] == []


def test_a_card_that_is_younger_makes_no_data_newer(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200)
    user.run_json("data", "push", file, REPO)
    user.write_rows("train.jsonl", 201)
    user.hub.dataset(REPO).commit({"README.md": b"later"}, date=datetime(2041, 1, 1, tzinfo=UTC))
    assert user.run_json("data", "status", file, REPO)["newer"] == "local"


def test_fetch_dataset_gives_files_and_commit(user: HubUser) -> None:
    """As the launcher calls it."""
    rows = json.dumps({"instruction": "a", "response": "b"}).encode() + b"\n"
    files = {"data/train-0.jsonl": rows, "test.csv": b"a,b\n", "dataset_infos.json": b"{}", ".x/y.json": b"{}"}
    repo = user.hub.add("dataset", REPO, {**files, "README.md": b"card"})

    def fetched() -> tuple[list[str], str]:
        done = subprocess.run(
            [sys.executable, PROGRAMS / "fetch_dataset.py", f"hf://{REPO}"],
            env=user.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    found, commit = fetched()
    assert commit == repo.commits[-1].sha
    assert [Path(path).name for path in found] == ["train-0.jsonl", "test.csv"]
    user.hub.stop()
    assert fetched() == [found, commit]


def test_folders_without_a_list_of_configurations_are_read_together(user: HubUser) -> None:
    """`datasets` does so too; one of them can be chosen."""
    rows = json.dumps({"instruction": "a", "response": "b"}).encode() + b"\n"
    files = {"en/train.jsonl": rows * 3, "en/test.jsonl": rows, "fr/train.jsonl": rows * 2}
    user.hub.add("dataset", REPO, files)
    profile = user.home / "p.toml"
    profile.write_text(f'[model]\nname = "demo:llama"\n[dataset]\npath = "hf://{REPO}"\n')
    told = user.run_command("data", "check", "--profile", profile).stdout
    assert "5 rows" in told
    assert "its 2 folders are read together" in told
    assert 'dataset.config = "en"' in told
    profile.write_text(profile.read_text() + 'config = "en"\n')
    told = user.run_command("data", "check", "--profile", profile).stdout
    assert "3 rows" in told
    assert "left out (of another configuration): fr/train.jsonl" in told
    assert "read together" not in told


def test_a_repository_of_several_configurations_needs_a_choice(user: HubUser) -> None:
    rows = json.dumps({"instruction": "a", "response": "b"}).encode() + b"\n"
    card = b"""---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/rows.jsonl}
  - {split: test, path: main/more.jsonl}
- config_name: short
  data_files: short/*.jsonl
---
"""
    files = {"main/rows.jsonl": rows * 3, "main/more.jsonl": rows, "short/rows.jsonl": rows}
    user.hub.add("dataset", REPO, {**files, "README.md": card})
    profile = user.home / "p.toml"
    profile.write_text(f'[model]\nname = "demo:llama"\n[dataset]\npath = "hf://{REPO}"\n')
    refused = user.run_command("data", "check", "--profile", profile)
    assert refused.returncode == 2
    assert f"{REPO} has 2 configurations: main, short" in refused.stderr
    profile.write_text(profile.read_text() + 'config = "main"\n')
    found = json.loads(user.run_command("data", "check", "--profile", profile, "--json").stdout)
    assert found["rows"] == 3
    assert {Path(left["file"]).name: left["reason"] for left in found["left_out"]} == {
        "more.jsonl": "the test split",
        "rows.jsonl": "of another configuration",
    }
