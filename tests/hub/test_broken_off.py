"""Tests slow and interrupted transfers: their progress, and what the next try transfers."""

import re
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

from support.hub.user import SECONDS, HubUser
from support.programs import PROGRAMS

REPO = "me/waves"
QUICK_RETRIES = (str(PROGRAMS / "quick_retries.py"),)


def test_a_server_that_dies_in_the_middle_of_an_upload(user: HubUser) -> None:
    first, second = user.write_rows("first.jsonl", 300), user.write_rows("train.jsonl", 20_000)
    user.run_json("data", "push", first, REPO)
    user.hub.dies_after = 100_000
    user.program = QUICK_RETRIES
    died = user.run_command("data", "push", second, REPO)
    assert died.returncode == 1
    assert "stopped answering while sending train.jsonl" in died.stderr
    assert "Run the same command again" in died.stderr
    assert "trying again" in died.stderr  # reported while it tried again
    assert "train.jsonl" not in user.hub.dataset(REPO).commits[-1].files

    user.hub.start()
    user.hub.requests.clear()
    result = user.run_json("data", "push", second, REPO)
    assert sorted(result["sent"]) == ["README.md", "train.jsonl"]
    assert user.hub.dataset(REPO).commits[-1].files["train.jsonl"] == second.read_bytes()
    assert [request.size for request in user.hub.requests if request.method == "PUT"] == [second.stat().st_size]


def test_a_large_upload_in_parts_goes_on_when_the_server_is_back(user: HubUser) -> None:
    """Within one command, the library sends the interrupted part again."""
    file = user.write_rows("train.jsonl", 20_000)
    user.hub.part, user.hub.dies_after = 300_000, 250_000

    def revive() -> None:
        while user.hub._server is not None:
            time.sleep(0.02)
        user.hub.start()

    reviving = threading.Thread(target=revive)
    reviving.start()
    user.run_json("data", "push", file, REPO)
    reviving.join()
    assert user.hub.dataset(REPO).commits[-1].files["train.jsonl"] == file.read_bytes()
    parts = [request.size for request in user.hub.requests if request.method == "PUT"]
    assert sum(parts) == file.stat().st_size + 300_000
    assert len(parts) > 3


def test_what_arrived_before_the_server_died_is_not_sent_again(user: HubUser) -> None:
    """The bytes arrived, but the commit with them did not."""
    file = user.write_rows("train.jsonl", 1_000)
    user.run_json("data", "push", user.write_rows("first.jsonl", 10), REPO)
    user.hub.blobs[sha256(file.read_bytes()).hexdigest()] = file.read_bytes()
    user.hub.requests.clear()
    assert "train.jsonl" in user.run_json("data", "push", file, REPO)["sent"]
    assert [request for request in user.hub.requests if request.method == "PUT"] == []


def test_a_download_continues_where_it_broke_off(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200_000)
    content = file.read_bytes()
    assert len(content) > 9 * 2**20
    user.hub.add("dataset", REPO, {"train.jsonl": content})
    half = user.hub.dies_after = 6_000_000
    died = user.run_command("data", "pull", REPO)
    assert died.returncode == 1
    assert "stopped answering while fetching train.jsonl" in died.stderr
    assert "Run the same command again" in died.stderr

    user.hub.start()
    user.hub.requests.clear()
    result = user.run_json("data", "pull", REPO)
    assert result["files"][0]["rows"] == 200_000
    assert Path(result["files"][0]["path"]).read_bytes() == content
    ranges = [request.range for request in user.hub.requests if request.method == "GET" and "resolve" in request.path]
    assert len(ranges) == 1
    begin = int((ranges[0] or "").removeprefix("bytes=").rstrip("-"))
    assert 0 < begin <= half
    assert not list(user.home.rglob("*.codex-tui"))


def test_a_partial_file_that_does_not_fit_is_deleted(user: HubUser) -> None:
    file = user.write_rows("train.jsonl", 200_000)
    user.hub.add("dataset", REPO, {"train.jsonl": file.read_bytes()})
    blobs = user.home / "hf" / "hub" / "datasets--me--waves" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha256(file.read_bytes()).hexdigest()}.codex-tui").write_bytes(b"x" * 5_000_000)
    failed = user.run_command("data", "pull", REPO)
    assert failed.returncode == 1
    assert "arrived damaged" in failed.stderr
    assert user.run_json("data", "pull", REPO)["files"][0]["rows"] == 200_000


def test_progress_is_plain_lines_on_a_pipe(user: HubUser) -> None:
    """With the bytes done and the total, and without a bar of the library."""
    file = user.write_rows("train.jsonl", 200_000)
    user.hub.add("dataset", REPO, {"train.jsonl": file.read_bytes()})
    user.hub.dies_after = 5_000_000
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_tui", "data", "pull", REPO],
        env=user.environment(),
        cwd=user.home,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def revive() -> None:
        while user.hub._server is not None:
            time.sleep(0.02)
        time.sleep(1.5)
        user.hub.start()

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


def test_an_upload_by_xet_shows_its_time(user: HubUser) -> None:
    """The library's upload runs without Xet's servers. Xet reports its bytes only to the library's own bars, so the
    progress shows no amount."""
    file = user.write_rows("train.jsonl", 1_000)
    user.hub.blobs[sha256(file.read_bytes()).hexdigest()] = file.read_bytes()
    done = subprocess.run(
        [sys.executable, PROGRAMS / "xet_upload.py", "data", "push", str(file), REPO],
        env=user.environment(HF_HUB_DISABLE_XET=None),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    sending = [line for line in done.stderr.splitlines() if line.startswith("sending")]
    assert len(sending) >= 2, done.stderr  # it takes seven seconds, and a line comes every five
    assert all(re.fullmatch(r"sending train\.jsonl, README\.md  0:\d\d", line) for line in sending), sending
    assert "%|" not in done.stderr
    assert user.hub.dataset(REPO).commits[-1].files["train.jsonl"] == file.read_bytes()
    assert [request for request in user.hub.requests if request.method == "PUT"] == []
