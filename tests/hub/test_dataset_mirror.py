"""A dataset and its mirror: over HTTP with the real client, against a Hub on the loopback."""

import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from support.hub_person import SECONDS, Person

REPO = "me/waves"


def test_the_first_push_makes_a_private_repository_with_the_file_and_a_card(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    told = person.says("data", "push", file, REPO)
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
    assert told["created"]
    assert told["private"]
    assert (told["rows"], told["sha256"]) == (200, digest)
    assert told["revision"] == there.commits[-1].sha
    assert sorted(told["sent"]) == ["README.md", "train.jsonl"]
    # Read back at that very commit, once it was there.
    commit = next(n for n, request in enumerate(person.hub.requests) if "/commit/" in request.path)
    after = [(request.method, request.path) for request in person.hub.requests[commit + 1 :]]
    assert ("GET", f"/datasets/{REPO}/resolve/{told['revision']}/train.jsonl") in after


def test_a_push_of_the_same_sends_nothing(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    person.says("data", "push", file, REPO)
    person.hub.requests.clear()
    told = person.says("data", "push", file, REPO)
    assert person.hub.sent() == []
    assert told["sent"] == []
    assert len(person.hub.dataset(REPO).commits) == 2  # the repository's own first, and ours
    assert told["revision"] == person.hub.dataset(REPO).commits[-1].sha
    assert "Nothing to send" in person.runs("data", "push", file, REPO).stdout


def test_a_changed_push_sends_what_has_changed(person: Person) -> None:
    first, second = person.file("train.jsonl", 200), person.file("more.jsonl", 300)
    person.says("data", "push", first, REPO)
    person.says("data", "push", second, REPO)
    person.file("train.jsonl", 201)
    person.hub.requests.clear()
    told = person.says("data", "push", first, REPO)
    assert sorted(told["sent"]) == ["README.md", "train.jsonl"]
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


def test_what_is_pulled_is_what_was_pushed_and_serves_offline(person: Person) -> None:
    file = person.file("train.jsonl", 200)
    revision = person.says("data", "push", file, REPO)["revision"]
    folder = person.home / "there"
    told = person.says("data", "pull", REPO, "--to", folder)
    assert told == {
        "repo": REPO,
        "revision": revision,
        "offline": False,
        "files": [{"path": str(folder / "train.jsonl"), "rows": 200}],
    }
    assert (folder / "train.jsonl").read_bytes() == file.read_bytes()
    person.hub.stop()
    for asked in ([], ["--revision", revision]):
        again = person.says("data", "pull", REPO, *asked)
        assert again["revision"] == revision
        assert Path(again["files"][0]["path"]).read_bytes() == file.read_bytes()
    assert "can't be asked" in person.runs("data", "pull", REPO).stderr
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


def test_status_tells_which_is_newer(person: Person) -> None:
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
    assert "Fetch it with" in person.runs("data", "status", file, REPO).stdout

    other = person.file("other.jsonl", 3)  # under another name here, and the one data file there
    found = person.says("data", "status", other, REPO)["remote"]
    assert (found["file"], found["rows"]) == ("train.jsonl", 200)  # counted, as that card tells none


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


@pytest.mark.parametrize("told", [["--public"], ["--yes-public"]])
def test_public_is_not_said_once(person: Person, told: list[str]) -> None:
    file = person.file("train.jsonl", 20)
    refused = person.runs("data", "push", file, REPO, *told)
    assert refused.returncode == 2
    assert "makes nothing public" in refused.stderr
    assert person.hub.requests == []


def test_public_is_said_twice(person: Person) -> None:
    file = person.file("train.jsonl", 20)
    told = person.says("data", "push", file, REPO, "--public", "--yes-public")
    assert not told["private"]
    assert person.hub.created[0]["visibility"] == "public"

    private = "me/quiet"
    person.says("data", "push", file, private)
    assert person.hub.dataset(private).private
    assert person.says("data", "push", file, private, "--public", "--yes-public")["made_public"]
    assert not person.hub.dataset(private).private


def test_nothing_new_goes_to_a_public_repository_unless_it_is_said_twice(person: Person) -> None:
    file = person.file("train.jsonl", 20)
    person.says("data", "push", file, REPO, "--public", "--yes-public")
    assert person.says("data", "push", file, REPO)["sent"] == []
    person.file("train.jsonl", 21)
    person.hub.requests.clear()
    refused = person.runs("data", "push", file, REPO)
    assert refused.returncode == 2
    assert "--public --yes-public" in refused.stderr
    assert person.hub.sent() == []


@pytest.mark.parametrize("command", [["push", "train.jsonl"], ["pull"], ["status", "train.jsonl"]])
def test_a_wrong_token_is_named_by_where_it_is_and_no_more(person: Person, command: list[str]) -> None:
    person.file("train.jsonl", 20)
    person.hub.add("dataset", REPO, {"train.jsonl": b"{}"})
    wrong = "hf_" + "w" * 34
    refused = person.runs("data", *command, REPO, HF_TOKEN=wrong)
    assert refused.returncode == 2
    assert "does not accept the token in $HF_TOKEN" in refused.stderr
    assert wrong not in refused.stderr
    assert person.hub.sent() == []


def test_a_token_of_impossible_characters_is_not_quoted(person: Person) -> None:
    refused = person.runs("data", "push", person.file("train.jsonl", 20), REPO, HF_TOKEN="hf_ünmöglich secret")
    assert refused.returncode == 2
    assert "characters that no token has" in refused.stderr
    assert "möglich" not in refused.stderr


def test_without_a_token_nothing_is_sent(person: Person) -> None:
    file = person.file("train.jsonl", 20)
    refused = person.runs("data", "push", file, REPO, HF_TOKEN=None)
    assert refused.returncode == 2
    assert "no token" in refused.stderr
    assert "hf auth login" in refused.stderr
    assert person.hub.requests == []


def test_the_token_file_is_used(person: Person) -> None:
    path = person.home / "elsewhere" / "token"
    path.parent.mkdir()
    path.write_text(person.token)
    told = person.says("data", "push", person.file("train.jsonl", 20), REPO, HF_TOKEN=None, HF_TOKEN_PATH=str(path))
    assert told["created"]
    path.unlink()  # the one place where it may stand


def test_a_repository_that_is_not_there(person: Person) -> None:
    file = person.file("train.jsonl", 20)
    for command in (["pull"], ["status", file]):
        refused = person.runs("data", *command, "me/nowhere")
        assert refused.returncode == 2
        assert "no dataset repository me/nowhere" in refused.stderr
    person.says("data", "push", file, REPO)
    refused = person.runs("data", "pull", REPO, "--revision", "no-such")
    assert refused.returncode == 2
    assert "no such revision" in refused.stderr
    unseen = person.runs("data", "pull", "me/nowhere", HF_TOKEN=None)
    assert unseen.returncode == 2
    assert "private or not there" in unseen.stderr


def test_someone_elses_name_and_a_gated_repository(person: Person) -> None:
    refused = person.runs("data", "push", person.file("train.jsonl", 20), "others/waves")
    assert refused.returncode == 2
    assert "may not write to others/waves" in refused.stderr
    person.hub.add("dataset", "them/secret", {"train.jsonl": b"{}"}).gated = True
    gated = person.runs("data", "pull", "them/secret")
    assert gated.returncode == 2
    assert "gated" in gated.stderr


@pytest.mark.parametrize("name", ["waves", "a/b/c", "../x", "a/..", "a b/c", "-a/b", "a/b.git", "a/" + "b" * 200])
def test_a_name_that_no_repository_has(person: Person, name: str) -> None:
    refused = person.runs("data", "push", person.file("train.jsonl", 2), "--", name)
    assert refused.returncode == 2
    assert "owner/name" in refused.stderr
    assert person.hub.requests == []


def test_nobody_answers(person: Person) -> None:
    file = person.file("train.jsonl", 20)
    person.hub.stop()
    for command in (["push", file], ["pull"], ["status", file]):
        failed = person.runs("data", *command, REPO)
        assert failed.returncode == 1
        assert "can't be reached" in failed.stderr


@pytest.mark.parametrize("address", ["http://[::1", "nonsense", "http://127.0.0.1:99999", ""])
def test_an_endpoint_that_is_nowhere(person: Person, address: str) -> None:
    refused = person.runs("data", "pull", REPO, HF_ENDPOINT=address)
    assert refused.returncode == 2
    assert "HF_ENDPOINT is no address" in refused.stderr


def test_the_password_in_an_address_is_not_shown(person: Person) -> None:
    failed = person.runs("data", "pull", REPO, HF_ENDPOINT="http://me:geheim@127.0.0.1:1")
    assert failed.returncode == 1
    assert "127.0.0.1:1" in failed.stderr
    assert "geheim" not in failed.stderr


def test_a_server_that_dies_in_the_middle_of_an_upload(person: Person) -> None:
    first, second = person.file("first.jsonl", 300), person.file("train.jsonl", 20_000)
    person.says("data", "push", first, REPO)
    person.hub.dies_after = 100_000
    died = person.runs("data", "push", second, REPO)
    assert died.returncode == 1
    assert "stopped answering while sending train.jsonl" in died.stderr
    assert "Run the same command again" in died.stderr
    assert "trying again" in died.stderr  # told while it tried
    assert "train.jsonl" not in person.hub.dataset(REPO).commits[-1].files

    person.hub.start()
    person.hub.requests.clear()
    told = person.says("data", "push", second, REPO)
    assert sorted(told["sent"]) == ["README.md", "train.jsonl"]
    assert person.hub.dataset(REPO).commits[-1].files["train.jsonl"] == second.read_bytes()
    assert [request.size for request in person.hub.requests if request.method == "PUT"] == [second.stat().st_size]


def test_what_arrived_before_the_server_died_is_not_sent_again(person: Person) -> None:
    """The bytes came, and the commit that would have named them did not."""
    file = person.file("train.jsonl", 1_000)
    person.says("data", "push", person.file("first.jsonl", 10), REPO)
    person.hub.blobs[sha256(file.read_bytes()).hexdigest()] = file.read_bytes()
    person.hub.requests.clear()
    assert "train.jsonl" in person.says("data", "push", file, REPO)["sent"]
    assert [request for request in person.hub.requests if request.method == "PUT"] == []


def test_a_download_goes_on_where_it_broke_off(person: Person) -> None:
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
    told = person.says("data", "pull", REPO)
    assert told["files"][0]["rows"] == 200_000
    assert Path(told["files"][0]["path"]).read_bytes() == content
    ranges = [request.range for request in person.hub.requests if request.method == "GET" and "resolve" in request.path]
    assert len(ranges) == 1
    begin = int((ranges[0] or "").removeprefix("bytes=").rstrip("-"))
    assert 0 < begin <= half
    assert not list(person.home.rglob("*.codex-tui"))


def test_a_half_that_does_not_fit_is_thrown_away(person: Person) -> None:
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
    """With bytes done, of how many, and no bar of the library's."""
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
    def __init__(self, progress_callback, **_):
        self.tell = progress_callback
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def start_upload_file(self, path, sha256):
        for done in (100_000, 700_000):
            self.tell(SimpleNamespace(total_bytes=1_000_000, total_bytes_completed=done), {})
            time.sleep(3.2)

_xet.get_xet_session = lambda: SimpleNamespace(new_upload_commit=Commit)
from codex_tui.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_upload_by_xet_tells_its_bytes(person: Person) -> None:
    """The library's upload runs; in place of Xet's servers stands what it would report."""
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
    assert "0.7 of 1.0 MB" in done.stderr
    assert "about 0:0" in done.stderr
    assert "%|" not in done.stderr
    assert person.hub.dataset(REPO).commits[-1].files["train.jsonl"] == file.read_bytes()
    assert [request for request in person.hub.requests if request.method == "PUT"] == []


def test_a_csv_and_a_file_with_bad_rows(person: Person) -> None:
    table = person.home / "train.csv"
    table.write_text("instruction,response\nask,answer\nask,\n")
    done = person.runs("data", "push", table, REPO)
    assert done.returncode == 0
    assert "1 of the rows can't be learned from" in done.stderr
    assert "| rows that can't be learned from | 1 |" in person.hub.dataset(REPO).commits[-1].files["README.md"].decode()


def test_files_that_can_not_be_mirrored(person: Person) -> None:
    empty = person.home / "empty.jsonl"
    empty.write_text("\n")
    for file, word in ((empty, "no rows"), (person.home / "none.jsonl", "no such"), (person.home, "not a file")):
        refused = person.runs("data", "push", file, REPO)
        assert refused.returncode == 2
        assert word in refused.stderr
    assert person.hub.requests == []


def test_hostile_names_and_cards_come_out_harmless(person: Person) -> None:
    file = person.file("a`|<b>-->.jsonl", 3)
    person.says("data", "push", file, REPO)
    card = person.hub.dataset(REPO).commits[-1].files["README.md"].decode()
    assert card.count("-->") == 2
    assert "<b>" not in card.split("-->", 1)[1]
    assert person.says("data", "push", file, REPO)["sent"] == []
    person.hub.dataset(REPO).commit({"\x1b]0;x\x07.jsonl": b"{}\n"})
    assert "\x1b" not in person.runs("data", "pull", REPO).stdout


def test_fetch_dataset_gives_files_and_commit(person: Person) -> None:
    """As the launcher calls it."""
    rows = json.dumps({"instruction": "a", "response": "b"}).encode() + b"\n"
    files = {"data/train-0.jsonl": rows, "test.csv": b"a,b\n", "dataset_infos.json": b"{}", ".x/y.json": b"{}"}
    repo = person.hub.add("dataset", REPO, {**files, "README.md": b"card"})
    code = (
        "import json, sys\n"
        "from codex_tui.core.hub import fetch_dataset\n"
        "files, commit = fetch_dataset(sys.argv[1], None, lambda progress: None)\n"
        "print(json.dumps([[str(path) for path in files], commit]))"
    )

    def fetched() -> tuple[list[str], str]:
        done = subprocess.run(
            [sys.executable, "-c", code, f"hf://{REPO}"],
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
