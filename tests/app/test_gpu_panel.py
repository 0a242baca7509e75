"""The GPU pane: readings of this machine, else those that the run recorded, else the machine's CPU and memory."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from support.config_file import read_config, write_config
from support.pilot import screen_text, settled, until
from support.screens import NOW, machine

from codex_tui.machine.gpu import Reading
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.gpu_panel import GpuPanel
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> Reading:
    reading = replace(machine(), gpu=None, gpu_reason="no NVIDIA driver on this machine")
    monkeypatch.setattr(
        "codex_tui.ui.cockpit.gpu_reader.make_sampler", lambda device: SimpleNamespace(read=lambda: reading)
    )
    return reading


def read_text(panel: GpuPanel) -> str:
    strips = panel.paint(panel.size.width, panel.size.height)
    return " ".join(" ".join(strip.text for strip in strips).split())


def record(run: RunDirectory, *temperatures: float) -> None:
    first = sum(1 for _ in run.events.open("rb"))
    with run.events.open("ab") as file:
        for number, temperature in enumerate(temperatures, first):
            event = ev.Gpu(used_mib=3072.0, total_mib=6144.0, temperature=temperature, utilisation=97.0, power=81.0)
            event.seq, event.time = number, NOW + number
            file.write(msgspec.json.encode(event) + b"\n")


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_a_machine_without_a_gpu_shows_the_recorded_one(make_run: Any, size: tuple[int, int]) -> None:
    run = make_run(end="training", steps=50)
    record(run, 60.0, 71.0)
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "3.0 / 6.0 GiB" in text
        assert "71 °C" in text
        assert "97 % busy" in text
        if size != (80, 24):
            assert "Recorded by the run. No GPU found." in text


@pytest.mark.usefixtures("without_gpu")
async def test_the_memory_of_the_probe_is_shown_beside_its_forecast(make_run: Any) -> None:
    run = make_run(end="training", steps=50)
    probe = ev.Probe(
        tokens=2048, rows=1, peak_reserved_mib=2844.0, context_mib=310.0, limit_mib=3796.0, forecast_mib=3120.0
    )
    probe.seq, probe.time = sum(1 for _ in run.events.open("rb")), NOW
    with run.events.open("ab") as file:
        file.write(msgspec.json.encode(probe) + b"\n")
    record(run, 60.0)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "probed 3.1 GiB" in text
        assert "forecast 3.0" in text


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_all_cards_of_the_run_are_shown(make_run: Any, size: tuple[int, int]) -> None:
    run = make_run(end="training", steps=50)
    record(run, 60.0)
    first = sum(1 for _ in run.events.open("rb"))
    with run.events.open("ab") as file:
        for card, celsius in ((1, 70.0), (2, 72.0), (1, 71.0)):
            event = ev.Gpu(card=card, used_mib=2048.0, total_mib=6144.0, temperature=celsius, utilisation=96.0)
            event.seq, event.time = first, NOW
            first += 1
            file.write(msgspec.json.encode(event) + b"\n")
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "60 °C" in text
        memory = "" if size == (80, 24) else "2.0 / 6.0 GiB   "  # in one line there is room for the temperature
        for words in (f"Card 2 {memory}71 °C", f"Card 3 {memory}72 °C"):
            assert words in text
        assert "70 °C" not in text


async def test_the_panel_reads_the_card_that_the_run_trains_on(
    make_run: Any, without_gpu: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[int] = []

    def sampler(device: int) -> Any:
        devices.append(device)
        return SimpleNamespace(read=lambda: without_gpu)

    monkeypatch.setattr("codex_tui.ui.cockpit.gpu_reader.make_sampler", sampler)
    run = make_run(end="training", steps=50)
    config = read_config(run)
    config["profile"].setdefault("hardware", {})["device"] = 1
    write_config(run, config)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await settled(pilot)
    assert devices == [1]


@pytest.mark.usefixtures("without_gpu")
async def test_a_recorded_history_goes_on(make_run: Any, without_gpu: Reading) -> None:
    run = make_run(end="training", steps=50)
    record(run, 60.0, 71.0)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        panel = pilot.app.screen.query_one(GpuPanel)
        panel.feed(without_gpu, live=True)
        assert list(panel._history["temperature"])[:2] == [60.0, 71.0]
        assert None not in panel._history["temperature"]


@pytest.mark.usefixtures("without_gpu")
async def test_without_any_gpu_the_machine_is_shown(make_run: Any) -> None:
    async with CodexApp(make_run(end="training", steps=50)).run_test(size=(200, 60)) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "No GPU: no NVIDIA driver on this machine." in text
        assert "CPU" in text and "6.2 / 15.6 GiB" in text
        assert "Trainer RAM: 1.9 GiB" in text


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_a_card_that_falls_off_the_bus_is_reported_beside_the_recorded_readings(
    make_run: Any, without_gpu: Reading, size: tuple[int, int]
) -> None:
    run = make_run(end="training", steps=50)
    record(run, 60.0, 71.0)
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        panel = pilot.app.screen.query_one(GpuPanel)
        panel.feed(machine(), live=True)
        panel.feed(replace(without_gpu, gpu_reason="the GPU has fallen off the bus: restart the machine"), live=True)
        await pilot.pause()
        assert "the GPU has fallen off the bus" in read_text(panel)
        assert "3.0 / 6.0 GiB" in read_text(panel)
        assert "● training" in screen_text(pilot.app)


async def test_a_driver_that_hangs_does_not_block_the_screen(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def read() -> Reading:
        answers.wait()
        return machine()

    monkeypatch.setattr("codex_tui.ui.cockpit.gpu_reader.DRIVER_TIMEOUT", 0.05)
    monkeypatch.setattr("codex_tui.ui.cockpit.gpu_reader.make_sampler", lambda device: SimpleNamespace(read=read))
    async with CodexApp(make_run(end="training", steps=50)).run_test(size=(120, 36)) as pilot:
        await settled(pilot)  # the chart, the log and the keys work
        panel = pilot.app.screen.query_one(GpuPanel)
        assert "No GPU: the NVIDIA driver does not answer." in read_text(panel)
        answers.set()
        await panel.sample(True)
        assert panel._reading == machine()


@pytest.mark.usefixtures("without_gpu")
async def test_the_memory_of_a_trainer_that_ends_is_shown_as_past(make_run: Any) -> None:
    run = make_run(end="training", steps=50)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        panel = pilot.app.screen.query_one(GpuPanel)
        assert "Trainer RAM: 1.9 GiB" in read_text(panel)
        run.write_process(ProcessIdentity(999_999, 1.0))
        await until(pilot, lambda: "? lost" in screen_text(pilot.app))
        assert "Trainer RAM at the end: 1.9 GiB" in read_text(panel)
