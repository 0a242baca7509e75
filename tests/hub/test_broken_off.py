"""Tests slow and interrupted transfers: their progress, and what the next try transfers."""

import re
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

from support.hub.person import SECONDS, Person

REPO = "me/waves"


def test_a_server_that_dies_in_the_middle_of_an_upload(person: Person) -> None:
    first, second = person.file("first.jsonl", 300), person.file("train.jsonl", 20_000)
    person.says("data", "push", first, REPO)
    person.hub.dies_after = 100_000
    died = person.runs("data", "push", second, REPO)
    assert died.returncode == 1
    assert "stopped answering while sending train.jsonl" in died.stderr
    assert "Run the same command again" in died.stderr
    assert "trying again" in died.stderr  # reported while it tried again
    assert "train.jsonl" not in person.hub.dataset(REPO).commits[-1].files

    person.hub.start()
    person.hub.requests.clear()
    result = person.says("data", "push", second, REPO)
    assert sorted(result["sent"]) == ["README.md", "train.jsonl"]
    assert person.hub.dataset(REPO).commits[-1].files["train.jsonl"] == second.read_bytes()
    assert [request.size for request in person.hub.requests if request.method == "PUT"] == [second.stat().st_size]


def test_a_large_upload_in_parts_goes_on_when_the_server_is_back(person: Person) -> None:
    """Within one command, the library sends the interrupted part again."""
    file = person.file("train.jsonl", 20_000)
    person.hub.part, person.hub.dies_after = 300_000, 250_000

    def revive() -> None:
        while person.hub._server is not None:
            time.sleep(0.02)
        person.hub.start()

    reviving = threading.Thread(target=revive)
    reviving.start()
    person.says("data", "push", file, REPO)
    reviving.join()
    assert person.hub.dataset(REPO).commits[-1].files["train.jsonl"] == file.read_bytes()
    parts = [request.size for request in person.hub.requests if request.method == "PUT"]
    assert sum(parts) == file.stat().st_size + 300_000
    assert len(parts) > 3


def test_what_arrived_before_the_server_died_is_not_sent_again(person: Person) -> None:
    """The bytes arrived, but the commit with them did not."""
    file = person.file("train.jsonl", 1_000)
    person.says("data", "push", person.file("first.jsonl", 10), REPO)
    person.hub.blobs[sha256(file.read_bytes()).hexdigest()] = file.read_bytes()
    person.hub.requests.clear()
    assert "train.jsonl" in person.says("data", "push", file, REPO)["sent"]
    assert [request for request in person.hub.requests if request.method == "PUT"] == []


def test_a_download_continues_where_it_broke_off(person: Person) -> None:
    file = person.file("train.jsonl", 200_000)
    content = file.read_bytes()
    assert len(content) > 9 * 2**20
    person.hub.add("dataset", REPO, {"train.jsonl": content})
    half = person.hub.dies_after = 6_000_000
    died = person.runs("data", "pull", REPO)
    assert died.returncode == 1
    assert "stopped answering while fetching train.jsonl" in died.stderr
    assert "Run the same command again" in died.stderr

    person.hub.start()
    person.hub.requests.clear()
    result = person.says("data", "pull", REPO)
    assert result["files"][0]["rows"] == 200_000
    assert Path(result["files"][0]["path"]).read_bytes() == content
    ranges = [request.range for request in person.hub.requests if request.method == "GET" and "resolve" in request.path]
    assert len(ranges) == 1
    begin = int((ranges[0] or "").removeprefix("bytes=").rstrip("-"))
    assert 0 < begin <= half
    assert not list(person.home.rglob("*.codex-tui"))


def test_a_partial_file_that_does_not_fit_is_deleted(person: Person) -> None:
    file = person.file("train.jsonl", 200_000)
    person.hub.add("dataset", REPO, {"train.jsonl": file.read_bytes()})
    blobs = person.home / "hf" / "hub" / "datasets--me--waves" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha256(file.read_bytes()).hexdigest()}.codex-tui").write_bytes(b"x" * 5_000_000)
    failed = person.runs("data", "pull", REPO)
    assert failed.returncode == 1
    assert "arrived damaged" in failed.stderr
    assert person.says("data", "pull", REPO)["files"][0]["rows"] == 200_000


def test_progress_is_plain_lines_on_a_pipe(person: Person) -> None:
    """With the bytes done and the total, and without a bar of the library."""
    file = person.file("train.jsonl", 200_000)
    person.hub.add("dataset", REPO, {"train.jsonl": file.read_bytes()})
    person.hub.dies_after = 5_000_000
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_tui", "data", "pull", REPO],
        env=person.environment(),
        cwd=person.home,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def revive() -> None:
        while person.hub._server is not None:
            time.sleep(0.02)
        time.sleep(1.5)
        person.hub.start()

    reviving = threading.Thread(target=revive)
    reviving.start()
    out, err = process.communicate(timeout=SECONDS)
    reviving.join()
    assert process.returncode == 0, err
    assert "200,000 rows" in out
    assert "\r" not in err
    assert "\x1b" not in err
    assert "%|" not in err
    lines = err.splitlines()
    assert any("trying again" in line for line in lines)
    assert all(line.startswith(("fetching", "the Hub does not answer", "counting")) for line in lines)


XET = """
import sys, time
from types import SimpleNamespace
from huggingface_hub.utils import _xet

class Commit:
    def __init__(self, **_):
        pass
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def start_upload_file(self, path, sha256):
        time.sleep(7)

_xet.get_xet_session = lambda: SimpleNamespace(new_upload_commit=Commit)
from codex_tui.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_upload_by_xet_shows_its_time(person: Person) -> None:
    """The library's upload runs without Xet's servers. Xet reports its bytes only to the library's own bars, so the
    progress shows no amount."""
    file = person.file("train.jsonl", 1_000)
    person.hub.blobs[sha256(file.read_bytes()).hexdigest()] = file.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", XET, "data", "push", str(file), REPO],
        env=person.environment(HF_HUB_DISABLE_XET=None),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    sending = [line for line in done.stderr.splitlines() if line.startswith("sending")]
    assert len(sending) >= 2, done.stderr  # it takes seven seconds, and a line comes every five
    assert all(re.fullmatch(r"sending train\.jsonl, README\.md  0:\d\d", line) for line in sending), sending
    assert "%|" not in done.stderr
    assert person.hub.dataset(REPO).commits[-1].files["train.jsonl"] == file.read_bytes()
    assert [request for request in person.hub.requests if request.method == "PUT"] == []
