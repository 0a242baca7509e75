"""The data screen on a full disk shows the rows, and says why the model's tokens are missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.data_screen import PROFILE, SIZE, app_on, rows, screen_of, see
from support.disks import fill, mounted
from support.pilot import until


async def test_bad_rows_are_found_without_a_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, profile = home / "rows.jsonl", home / "p.toml"
    dataset.write_text("\n".join(rows()) + "\n")
    profile.write_text(PROFILE)
    with mounted(home / "disk", "size=1m") as disk:
        monkeypatch.setenv("CODEX_TUI_HOME", str(disk))
        fill(disk)
        async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
            await see(pilot, "can't be written: No space left on device.", "Free some space there", "Hold roof 0.")
            await until(pilot, lambda: screen_of(pilot).view.rows.states)
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]
