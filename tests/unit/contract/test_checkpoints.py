"""Damaged and partial checkpoints: passed over, never trusted, never deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fake_checkpoint import ARCHIVES, write_checkpoint

from training.contract.checkpoints import CHECKSUMS, RESUME_FILES, find_damaged_file, find_last_whole, list_checkpoints
from training.finetune import checkpoints


def unlink(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def cut(name: str, bytes_left: float = 0.6) -> Callable[[Path], object]:
    def do(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * bytes_left)])

    return do


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def flip(name: str) -> Callable[[Path], object]:
    """A byte of a tensor that is another now, as a failing disk gives it: only reading everything tells."""

    def do(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content.replace(b"statestate", b"statEstate", 1))

    return do


FILES = ("trainer_state.json", "adapter_model.safetensors", *ARCHIVES)
DAMAGES = {
    **{f"no {name}": unlink(name) for name in FILES},
    **{f"half of {name}": cut(name) for name in FILES},
    **{f"almost all of {name}": cut(name, 0.97) for name in FILES},
    **{f"nothing in {name}": write(name, b"") for name in FILES},
    **{f"zeros in {name}": write(name, bytes(300)) for name in FILES},
    "another step": write("trainer_state.json", b'{"global_step": 19}'),
    "a step that is no number": write("trainer_state.json", b'{"global_step": "20"}'),
    "a list": write("trainer_state.json", b"[20]"),
    "a pit": write("trainer_state.json", b"[" * 100_000),
    "a header of exabytes": write("adapter_model.safetensors", b"\xff" * 64),
    "a header that is no object": write("adapter_model.safetensors", b"\2\0\0\0\0\0\0\0[]"),
    "no tensor": write("adapter_model.safetensors", b"\2\0\0\0\0\0\0\0{}"),
    "an empty archive": write("optimizer.pt", b"PK\5\6" + bytes(18)),
}


@pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage in DAMAGES.items()])
@pytest.mark.parametrize("thorough", [True, False])
def test_a_damaged_checkpoint_is_passed_over_and_kept(
    tmp_path: Path, damage: Callable[[Path], object], thorough: bool
) -> None:
    good, bad = write_checkpoint(tmp_path, 10), write_checkpoint(tmp_path, 20)
    assert find_last_whole(tmp_path, thorough=thorough) == bad
    damage(bad)
    assert find_last_whole(tmp_path, thorough=thorough) == good
    left = {path.name: path.read_bytes() for path in bad.iterdir()}
    [(step, file, name)] = checkpoints.set_aside_broken(tmp_path)
    assert (step, name) == (20, "broken-checkpoint-20") and file in RESUME_FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken-checkpoint-20", "checkpoint-10"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "broken-checkpoint-20").iterdir()} == left


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_changed_byte_is_found_by_whoever_goes_on(tmp_path: Path, name: str) -> None:
    good, bad = write_checkpoint(tmp_path, 10), write_checkpoint(tmp_path, 20)
    flip(name)(bad)
    assert find_last_whole(tmp_path) == good


@pytest.mark.parametrize("name", RESUME_FILES)
def test_a_published_one_is_held_to_its_checksums(tmp_path: Path, name: str) -> None:
    checkpoints.publish(write_checkpoint(tmp_path / "aside", 20), tmp_path)
    folder = tmp_path / "checkpoint-20"
    assert checkpoints.is_whole(folder)
    content = (folder / name).read_bytes()
    at = len(content) - 3 if name.endswith("tensors") else content.index(b"log_history" if name[0] == "t" else b"state")
    (folder / name).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert find_damaged_file(folder) == name
    (folder / name).write_bytes(content)
    assert checkpoints.is_whole(folder)
    for sums in ("{", "[]", "5", "{}"):
        (folder / CHECKSUMS).write_text(sums)
        assert find_damaged_file(folder) == CHECKSUMS


def test_a_checkpoint_of_two_processes_needs_the_random_state_of_both(tmp_path: Path) -> None:
    unfinished = write_checkpoint(tmp_path / "aside", 20)
    state = unfinished / "rng_state.pth"
    (unfinished / "rng_state_1.pth").write_bytes(state.read_bytes())
    state.rename(unfinished / "rng_state_0.pth")
    checkpoints.publish(unfinished, tmp_path)
    folder = tmp_path / "checkpoint-20"
    assert checkpoints.is_whole(folder) and checkpoints.is_whole(folder, thorough=False)
    for name in ("rng_state_0.pth", "rng_state_1.pth"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-10])
        assert find_damaged_file(folder, thorough=False) == name
        (folder / name).unlink()
        assert find_damaged_file(folder) == name
        (folder / name).write_bytes(content)
    assert checkpoints.is_whole(folder)


def test_a_history_with_a_loss_that_is_no_number_is_whole(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 20)
    state = {"global_step": 20, "log_history": [{"loss": float("nan"), "step": 20}]}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    assert find_last_whole(tmp_path) == folder


def test_nothing_broken_is_ever_deleted(tmp_path: Path) -> None:
    for number in range(4):
        (write_checkpoint(tmp_path, 20) / "optimizer.pt").write_text(f"damage {number}")
        checkpoints.set_aside_broken(tmp_path)
    kept = {path.name: (path / "optimizer.pt").read_text() for path in tmp_path.iterdir()}
    assert kept == {
        "broken-checkpoint-20": "damage 0",
        **{f"broken-checkpoint-20.{number + 1}": f"damage {number}" for number in (1, 2, 3)},
    }
    assert find_last_whole(tmp_path) is None


def test_a_checkpoint_of_the_same_step_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    earlier = write_checkpoint(tmp_path, 20)
    (earlier / "note").write_text("mine")
    checkpoints.publish(write_checkpoint(tmp_path / checkpoints.UNFINISHED, 20), tmp_path)
    assert find_last_whole(tmp_path) == earlier and not (earlier / "note").exists()
    assert (tmp_path / "earlier-checkpoint-20" / "note").read_text() == "mine"


def steps(home: Path) -> list[int]:
    return [checkpoints.parse_step(path) for path in list_checkpoints(home)]


def test_the_oldest_go_and_the_best_stays(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        write_checkpoint(tmp_path, step)
    checkpoints.rotate(tmp_path, None)
    assert steps(tmp_path) == [5, 10, 15, 20]
    checkpoints.rotate(tmp_path, 2, "checkpoint-10")
    assert steps(tmp_path) == [10, 20]
    checkpoints.rotate(tmp_path, 1, "checkpoint-10")
    assert steps(tmp_path) == [10, 20]
    checkpoints.rotate(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-20"]


def test_a_kill_in_a_rotation_leaves_none_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (5, 10, 15):
        write_checkpoint(tmp_path, step)

    def killed(path: Path, **_: object) -> None:
        next(path.iterdir()).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", killed)
        checkpoints.rotate(tmp_path, 1)
    assert all(map(checkpoints.is_whole, list_checkpoints(tmp_path))) and steps(tmp_path) == [15]
    checkpoints.set_aside_broken(tmp_path)
    checkpoints.rotate(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-15"]


def test_what_is_no_checkpoint_is_not_looked_at(tmp_path: Path) -> None:
    for name in ("checkpoint-", "checkpoint-x", "checkpoint-²", "checkpoint--5", "broken-checkpoint-9"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-7").write_text("a file")
    assert find_last_whole(tmp_path) is None
    assert find_last_whole(tmp_path / "nowhere") is None
