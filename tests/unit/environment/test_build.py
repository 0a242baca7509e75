"""Tests the managed environment, which the real uv builds from a small list and wheels that the test makes."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.wheels import make_wheel, only_these_wheels

from codex_tui.base import locations, settings
from codex_tui.base.errors import BadInput, EnvironmentMissing
from codex_tui.base.progress import Progress
from codex_tui.environment import build, stack
from codex_tui.machine import gpu

LIST = """
# [torch] a comment
torch==2.13.0
# [torch-needs]
sympy==1.0
# [cuda]
cudalib==13.0
# [stack]
trl==1.15.0   # why
# [needs]
tyro==1.0.17
"""


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "torch", "2.13.0", "cudalib>=13", {"torch/version.py": "cuda: str | None = '13.0'\n"})
    make_wheel(folder, "torch", "2.13.0+cpu", "sympy", {"torch/version.py": "cuda: str | None = None\n"})
    make_wheel(folder, "sympy", "1.0")
    make_wheel(folder, "sympy", "1.1")  # newer than the pin
    make_wheel(folder, "cudalib", "13.0", "sympy")
    make_wheel(folder, "trl", "1.15.0", "torchvision")  # a dependency that must not be installed
    make_wheel(folder, "tyro", "1.0.17")
    return folder


@pytest.fixture
def small(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without an environment, a small list, and pip settings that allow only the test's wheels."""
    with only_these_wheels(wheels, LIST, tmp_path / "home", monkeypatch) as folder:
        yield folder


def ignore(progress: Progress) -> None:
    pass


def remove_stamp() -> None:
    """Make the environment count as missing."""
    (locations.managed_environment() / build.STAMP).unlink()


def read_versions(python: Path) -> dict[str, str | None]:
    return {package.name: package.installed for package in stack.describe(python).packages}


def test_shipped_list_is_pinned_and_grouped() -> None:
    pins = {pin.name: pin for pin in stack.load_pins()}
    assert len(pins) == len(stack.load_pins()) >= 90
    assert all(pin.version[0].isdigit() and "+" not in pin.version for pin in pins.values())
    assert {pin.group for pin in pins.values()} == {"torch", "torch-needs", "cuda", "stack", "needs"}
    assert [name for name, pin in pins.items() if pin.group == "torch"] == ["torch"]
    assert not pins.keys() & {"torchvision", "xformers"}


def test_builds_from_nothing_then_starts_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Progress] = []
    python = build.ensure(steps.append)
    assert python == locations.managed_environment() / "bin" / "python"
    assert read_versions(python) == {"torch": "2.13.0+cpu", "sympy": "1.0", "trl": "1.15.0", "tyro": "1.0.17"}
    assert (steps[0].step, steps[-1].step) == ("preparing", "ready")
    assert steps[-1].done == steps[-1].total == 4
    assert not list(locations.managed_environment().parent.glob("*.new"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the second call starts a process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert build.ensure(refuse) == build.find_python() == python


def test_cuda_build_is_chosen_if_there_is_a_gpu(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.ensure(ignore)
    monkeypatch.setattr(gpu, "nvidia_present", lambda: True)  # a GPU was added
    python = build.ensure(ignore)
    assert read_versions(python)["torch"] == "2.13.0"
    assert stack.describe(python).torch_cuda == "13.0"
    assert build.read_stamp()["build"] == "cuda"
    monkeypatch.setattr(gpu, "nvidia_present", lambda: False)  # it is missing for a while: nothing is rebuilt
    assert build.find_managed_python() == python
    assert read_versions(build.ensure(ignore, build="cpu"))["torch"] == "2.13.0+cpu"
    monkeypatch.setattr(gpu, "nvidia_present", lambda: True)  # a forced build stays
    assert build.find_managed_python() is not None


def test_changed_list_is_built_again(small: Path, wheels: Path) -> None:
    build.ensure(ignore)
    make_wheel(wheels, "tyro", "1.0.18")
    stack.PINS_FILE.write_text(LIST.replace("1.0.17", "1.0.18"))
    stack.load_pins.cache_clear()
    with pytest.raises(EnvironmentMissing, match="out of date"):
        build.find_python()
    assert read_versions(build.ensure(ignore))["tyro"] == "1.0.18"


def test_interrupted_setup_is_done_again(small: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.step == "installing the stack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.ensure(interrupt)
    assert build.find_managed_python() is None
    assert read_versions(build.ensure(ignore))["trl"] == "1.15.0"


def test_environment_without_stamp_or_python_is_missing(small: Path) -> None:
    python = build.ensure(ignore)
    remove_stamp()
    with pytest.raises(EnvironmentMissing, match="not built yet"):
        build.find_python()
    build.ensure(ignore)
    python.unlink()  # as if the Python that it was made from was removed
    assert build.find_managed_python() is None


@pytest.mark.parametrize(
    "deleted",
    ["trl-1.15.0.dist-info", "trl-1.15.0.dist-info/RECORD", "torch/version.py", "sympy", "../../../pyvenv.cfg", "."],
)
def test_half_deleted_environment_is_built_again(small: Path, deleted: str) -> None:
    python = build.ensure(ignore)
    [site] = python.parents[1].glob("lib/python3*/site-packages")
    subprocess.run(["rm", "-r", (site / deleted).resolve()], check=True)
    with pytest.raises(EnvironmentMissing, match="damaged"):
        build.find_python()
    assert build.ensure(ignore) == build.find_python() == python
    assert read_versions(python)["trl"] == "1.15.0"
    assert (site / "torch" / "version.py").is_file()


def test_package_that_was_changed_by_hand_is_installed_again(small: Path) -> None:
    python = build.ensure(ignore)
    [site] = python.parents[1].glob("lib/python3*/site-packages")
    (site / "tyro-1.0.17.dist-info").rename(site / "tyro-1.0.16.dist-info")
    assert read_versions(build.ensure(ignore))["tyro"] == "1.0.17"


def test_environment_in_use_is_not_replaced(small: Path) -> None:
    python = build.ensure(ignore)
    script = "print(1, flush=True); input()"
    with subprocess.Popen([python, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout and user.stdout.readline()  # before it runs, its command line is empty
        remove_stamp()
        with pytest.raises(BadInput, match=str(user.pid)):
            build.ensure(ignore)
        assert user.stdin
        user.stdin.close()


def test_second_setup_waits_and_says_so(small: Path) -> None:
    root = locations.managed_environment()
    root.parent.mkdir(parents=True)
    waiting = threading.Event()
    pythons: list[Path] = []

    def report(progress: Progress) -> None:
        if progress.step == "waiting":
            assert "another setup" in progress.detail
            waiting.set()

    with root.with_name("codex-train.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: pythons.append(build.ensure(report)))
        second.start()
        assert waiting.wait(30)
        assert not root.exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        second.join(60)
    assert pythons == [root / "bin" / "python"]


def test_version_the_registry_lacks_is_named(small: Path, wheels: Path) -> None:
    next(wheels.glob("trl-*")).unlink()
    with pytest.raises(EnvironmentMissing, match="does not have a pinned version") as error:
        build.ensure(ignore)
    assert "trl" in error.value.hint
    assert build.find_managed_python() is None


def test_full_disk_is_reported_before_anything_is_built(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build.GIB_NEEDED, "cpu", 10**6)
    with pytest.raises(EnvironmentMissing, match="GiB is free"):
        build.ensure(ignore)


def test_folder_that_cannot_be_made(small: Path) -> None:
    small.mkdir()
    (small / "data").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentMissing, match="cannot be built"):
        build.ensure(ignore)


def test_named_interpreter_that_lacks_packages(small: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    for named in (bare, bare / "bin" / "python"):  # the folder of an environment is accepted too
        with settings.use_python(named), pytest.raises(EnvironmentMissing, match="lacks torch, trl") as error:
            build.find_python()
        assert "-m pip install torch==2.13.0 && " in error.value.hint
        assert "--no-deps sympy==1.0 trl==1.15.0 tyro==1.0.17" in error.value.hint


@pytest.mark.parametrize("named", ["/nowhere/python", "/dev/null", "/bin/true", "/bin/ls"])
def test_named_interpreter_that_is_no_python(small: Path, named: str) -> None:
    with settings.use_python(Path(named)), pytest.raises(EnvironmentMissing, match=named) as error:
        build.ensure(ignore)
    assert len(error.value.message) < 200  # a program that is no Python may print any long text
    assert "Errno" not in error.value.message


def test_settings_name_an_interpreter(small: Path) -> None:
    python = build.ensure(ignore)
    locations.settings_file().parent.mkdir(parents=True)
    locations.settings_file().write_text(f"[trainer]\npython = {json.dumps(str(python))}\n")
    remove_stamp()
    assert build.find_python() == python
    with settings.use_python(python.parent.parent):
        assert build.find_python() == python


def test_trainer_path_contains_only_the_trainer(small: Path) -> None:
    folder = build.make_trainer_path()
    assert [path.name for path in folder.iterdir()] == ["training"]
    code = "import training, importlib.util as u; print(training.__file__); print(u.find_spec('codex_tui'))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.stdout.split("\n")[0] == str(folder / "training" / "__init__.py")
    (folder / "training").unlink()
    (folder / "training").symlink_to("/elsewhere")
    assert build.make_trainer_path() == folder
    assert (folder / "training").samefile(Path(build.__file__).parents[2] / "training")


def test_a_program_that_is_no_python_is_not_quoted() -> None:
    with pytest.raises(EnvironmentMissing) as error:
        stack.describe(Path("/bin/ls"))
    assert error.value.message == "/bin/ls did not answer as Python 3: it is another program"
    assert error.value.hint
