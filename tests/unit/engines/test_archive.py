"""An archive from another machine writes nothing outside of its folder, with and without tarfile's filters."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_tui.engines.ssh.link.archive import unpack

ARCHIVED = b"learned"


@pytest.fixture(params=["with filters", "without"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python from 3.11.4 on, and before."""
    if request.param == "without":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        monkeypatch.setattr(tarfile.TarFile, "extraction_filter", None, raising=False)


def archive(**values: object) -> Callable[[int], bytes]:
    """Return the function that reads an archive with one file, whose tarfile.TarInfo has these values."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        member = tarfile.TarInfo("adapter/model")
        member.size, member.mode = len(ARCHIVED), 0o644
        for name, value in values.items():
            setattr(member, name, value)
        tar.addfile(member, io.BytesIO(ARCHIVED) if member.isfile() else None)
    return io.BytesIO(written.getvalue()).read


def unpack_into(folder: Path, read: Callable[[int], bytes]) -> None:
    unpack(read, folder / "new", "fetching", lambda _: None, len(ARCHIVED))


@pytest.mark.usefixtures("python")
def test_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    unpack_into(tmp_path, archive())
    file = tmp_path / "new" / "adapter" / "model"
    assert file.read_bytes() == ARCHIVED
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    "values",
    [
        {"name": "../outside"},
        {"name": "adapter/../../outside"},
        {"name": "/tmp/codex-tui-outside"},
        {"type": tarfile.SYMTYPE, "linkname": "/etc", "size": 0},
        {"type": tarfile.LNKTYPE, "linkname": "../outside", "size": 0},
        {"type": tarfile.FIFOTYPE, "size": 0},
        {"type": tarfile.CHRTYPE, "size": 0},
    ],
    ids=str,
)
def test_what_would_leave_the_folder_is_refused(tmp_path: Path, values: dict[str, object]) -> None:
    with pytest.raises(tarfile.TarError):
        unpack_into(tmp_path, archive(**values))
    assert [path.name for path in tmp_path.iterdir()] == ["new"] and not list((tmp_path / "new").iterdir())
