"""Browsing the rows of a dataset, with a small process in the place of the tokenizer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_interpreter import fake_interpreter, name_in_settings

from codex_tui.workers import inspect
from codex_tui.workers.inspect import RowReader
from training.contract.inspect_messages import RenderedRow
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    run = RunDirectory(tmp_path / "run")
    run.create()
    write_config(run, {})
    name_in_settings(fake_interpreter(tmp_path, "inspect_worker"))
    return run


@pytest.fixture
async def reader(run: RunDirectory) -> AsyncIterator[RowReader]:
    reader = RowReader(run, lambda: None)
    await reader.start()
    await until(lambda: reader.row)
    yield reader
    await reader.close()
    assert reader.status == "off"


async def until(reached: Callable[[], object]) -> None:
    while not reached():  # pytest-timeout ends a wait in vain
        await asyncio.sleep(0.01)


async def see(reader: RowReader, index: int) -> RenderedRow:
    await reader.go(index)
    await until(lambda: reader.row)
    assert reader.row is not None
    return reader.row


async def test_rows_come_when_they_are_asked_for(reader: RowReader) -> None:
    assert (reader.status, reader.rows, reader.index) == ("ready", 200, 0)
    assert (await see(reader, 5)).index == 5
    assert (await see(reader, 1_000_000)).index == 199  # the nearest there is
    assert (await see(reader, -7)).index == 0


async def test_a_row_is_asked_for_once_and_the_oldest_are_forgotten(reader: RowReader) -> None:
    first = reader.row
    assert await see(reader, 7) == RenderedRow(index=7, line=2, max_seq_length=64)
    assert await see(reader, 0) == first
    for index in range(20, 20 + inspect.MAX_KEPT_ROWS):
        await see(reader, index)
    assert (await see(reader, 0)).line == 3 + inspect.MAX_KEPT_ROWS


async def test_a_row_that_is_refused_is_one_row_only(reader: RowReader) -> None:
    await reader.go(3)
    await until(lambda: reader.error)
    assert reader.error
    assert (reader.error.message, reader.error.hint) == ("line 4: refused.", "Mend it.")
    assert (await see(reader, 4)).index == 4
    assert reader.error is None
    await reader.go(3)
    await until(lambda: reader.error)


async def test_a_worker_that_died_is_told_and_started_anew(reader: RowReader) -> None:
    await reader.go(13)
    await until(lambda: reader.status == "failed")
    assert reader.error is not None
    assert "Out of memory." in reader.error.hint
    await until(lambda: reader._worker is None)
    reader.index = 2
    await reader.start()
    await until(lambda: reader.row)
    assert (reader.status, reader.error) == ("ready", None)


async def test_no_worker_outlives_a_reader_that_was_left_while_it_started(run: RunDirectory) -> None:
    reader = RowReader(run, lambda: None)
    starting = asyncio.create_task(reader.start())
    await asyncio.sleep(0)
    assert reader.status == "loading"
    await reader.close()
    await starting
    assert reader._worker is None
    assert reader.status == "off"
