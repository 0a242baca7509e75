"""Answers of a Hub that have no end, are larger than announced, or are very large."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.hub.user import HubUser

from codex_tui.hub.limits import MAX_ANSWER_BYTES
from codex_tui.hub.push import MAX_CARD_BYTES

REPO = "me/waves"


def disk_use(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("compresses", [False, True])
def test_a_description_without_end_is_given_up(user: HubUser, compresses: bool) -> None:
    """It took 2 GB of memory in 45 s, and went on."""
    rows = user.write_rows("train.jsonl", 20)
    user.hub.add("dataset", REPO, {"train.jsonl": rows.read_bytes()})
    user.hub.endless, user.hub.compresses = f"/api/datasets/{REPO}", compresses
    for command in (["pull", REPO], ["status", str(rows), REPO], ["push", str(rows), REPO]):
        ended = user.run_command("data", *command)
        assert ended.returncode == 1
        assert f"sent more than {MAX_ANSWER_BYTES:,} bytes in one answer about {REPO}." in ended.stderr
        assert "Check HF_ENDPOINT" in ended.stderr


@pytest.mark.parametrize("rows", [20, 200_000])
def test_a_file_that_is_larger_than_announced_does_not_fill_the_disk(user: HubUser, rows: int) -> None:
    content = user.write_rows("train.jsonl", rows).read_bytes()
    user.hub.add("dataset", REPO, {"train.jsonl": content})
    user.hub.endless = "/resolve/"
    ended = user.run_command("data", "pull", REPO)
    assert ended.returncode == 1
    assert f"sent more than {len(content):,} bytes in one answer about {REPO}." in ended.stderr
    assert disk_use(user.home / "hf") < 2 * len(content) + 100_000
    user.hub.endless = ""
    [file] = user.run_json("data", "pull", REPO)["files"]
    assert Path(file["path"]).read_bytes() == content


def test_a_card_that_is_too_large_is_not_read(user: HubUser) -> None:
    user.hub.add("dataset", REPO, {"README.md": b"x" * (MAX_CARD_BYTES + 1)})
    refused = user.run_command("data", "push", user.write_rows("train.jsonl", 20), REPO)
    assert refused.returncode == 1
    assert f"README.md of {REPO} has {MAX_CARD_BYTES + 1:,} bytes." in refused.stderr


def test_a_large_listing_is_read_and_its_progress_is_shown(user: HubUser) -> None:
    """A repository of 60,000 files, of which one is data."""
    content = user.write_rows("train.jsonl", 20).read_bytes()
    others = {f"images/class-{number % 100}/picture-{number:06}-of-060000.png": b"" for number in range(60_000)}
    user.hub.add("dataset", REPO, {"train.jsonl": content, **others})
    pulled = user.run_command("data", "pull", REPO, "--json")
    assert pulled.returncode == 0, pulled.stderr
    assert len(json.loads(pulled.stdout)["files"]) == 1
    assert re.search(rf"reading the description of {REPO}  [\d.]+ (of [\d.]+ )?MB", pulled.stderr)
