"""Tests pulls and pushes on a disk that fills up: one sentence, and incomplete files are never used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import fill, mounted
from support.hub.adapter_run import FILES, make_run
from support.hub.user import HubUser
from support.progress_lines import without_progress

REPO = "me/waves"
ROW = b'{"instruction": "Who?", "response": "Rook."}\n'
SMALL = ROW * 100
LARGE = ROW * 200_000  # 9 MB, so large that its download is resumed


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=12m") as folder:
        yield folder


def assert_disk_full(output: str, place: Path) -> None:
    """Assert that `output` is one sentence and a hint."""
    message, hint = without_progress(output).splitlines()
    assert message == f"codex-tui: {place}: No space left on device."
    assert "Free some space" in hint


@pytest.mark.parametrize("large", [LARGE, ROW * 100_000], ids=["resumed", "fetched by the library"])
def test_a_pull_goes_on_when_there_is_room(user: HubUser, disk: Path, large: bytes) -> None:
    commit = user.hub.add("dataset", REPO, {"a.jsonl": SMALL, "b.jsonl": large}).commits[-1].sha
    filler = fill(disk, but=3 << 20)
    home = {"HF_HOME": str(disk / "hf")}
    full = user.run_command("data", "pull", REPO, **home)
    assert full.returncode == 1
    assert_disk_full(full.stderr, disk / "hf" / "hub")
    user.hub.stop()  # incomplete files are not used offline either
    for options in ([], ["--revision", commit]):
        assert user.run_command("data", "pull", REPO, *options, **home).returncode == 1
        assert user.run_command("data", "pull", REPO, *options, HF_HUB_OFFLINE="1", **home).returncode == 1
    user.hub.start()
    filler.unlink()
    for options in ([], ["--revision", commit]):
        result = user.run_json("data", "pull", REPO, *options, **home)
        assert [Path(file["path"]).read_bytes() for file in result["files"]] == [SMALL, large]


def test_an_incomplete_commit_is_not_used(user: HubUser, disk: Path) -> None:
    commit = user.hub.add("dataset", REPO, {"a.jsonl": SMALL, "b.jsonl": LARGE}).commits[-1].sha
    filler = fill(disk, but=3 << 20)
    home = {"HF_HOME": str(disk / "hf")}
    assert user.run_command("data", "pull", REPO, "--revision", commit, **home).returncode == 1
    filler.unlink()
    result = user.run_json("data", "pull", REPO, "--revision", commit, **home)
    assert [file["rows"] for file in result["files"]] == [100, 200_000]


def test_copies_in_a_folder(user: HubUser, disk: Path) -> None:
    user.hub.add("dataset", REPO, {"a.jsonl": SMALL, "b.jsonl": LARGE})
    folder = disk / "there"
    folder.mkdir()
    (folder / "b.jsonl").write_text("mine\n")
    fill(disk, but=1 << 20)
    full = user.run_command("data", "pull", REPO, "--to", folder, "--replace")
    assert full.returncode == 1
    assert_disk_full(full.stderr, folder / "b.jsonl")
    assert (folder / "b.jsonl").read_text() == "mine\n"
    assert {path.name for path in folder.iterdir()} <= {"a.jsonl", "b.jsonl"}


def test_a_push_stages_its_card_and_what_it_reads_back(user: HubUser, disk: Path) -> None:
    file = user.write_rows("train.jsonl", 20_000)
    home = {"CODEX_TUI_HOME": str(disk)}
    filler = fill(disk)
    full = user.run_command("data", "push", file, REPO, **home)
    assert full.returncode == 1
    assert_disk_full(full.stderr, disk / "cache")
    assert not user.hub.writes() and ("dataset", REPO) not in user.hub.repos
    filler.unlink()
    filler = fill(disk, but=200_000)  # room for the card alone
    full = user.run_command("data", "push", file, REPO, **home)
    assert full.returncode == 1
    assert_disk_full(full.stderr, disk / "cache")
    assert list((disk / "cache").iterdir()) == []
    filler.unlink()
    assert user.run_json("data", "push", file, REPO, **home)["sent"] == []


def test_an_adapter_stays_as_it_is(user: HubUser) -> None:
    with mounted(user.home / "codex", "size=2m") as disk:
        run = make_run(user)
        filler = fill(disk, but=50_000)  # less than is read back
        full = user.run_command("push", run.name, REPO)
        assert full.returncode == 1
        assert_disk_full(full.stderr, disk / "cache")
        assert {path.name for path in disk.rglob("*") if path.is_file()} == {
            "filler", "config.json", "events.jsonl", "process.json", "profile.toml", *FILES,
        }  # fmt: skip
        assert all((run.adapter / name).read_bytes() == content for name, content in FILES.items())
        filler.unlink()
        assert user.run_json("push", run.name, REPO)["sent"] == []


def test_status_fetches_what_it_compares_with(user: HubUser, disk: Path) -> None:
    file = user.write_rows("train.jsonl", 10)
    user.hub.add("dataset", REPO, {"train.jsonl": LARGE, "README.md": b"a card"})
    fill(disk)
    full = user.run_command("data", "status", file, REPO, HF_HOME=str(disk / "hf"))
    assert full.returncode == 1
    assert_disk_full(full.stderr, disk / "hf" / "hub")
