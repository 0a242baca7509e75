"""The screen of a run's exports: none yet, at work, stopped, and finished ones with their proofs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.exports import PROOF, write_export
from support.pilot import screen_text, settled, until
from textual.pilot import Pilot

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.export.plan import ExportPlan
from codex_tui.ui.app import CodexApp
from codex_tui.ui.export.screen import ExportScreen
from codex_tui.ui.kit.hints import HintBar
from training.contract.run_directory import RunDirectory

WEIGHTS = b"weights"


@pytest.fixture
def run(make_run: Any) -> RunDirectory:
    run: RunDirectory = make_run()
    (run.adapter / "adapter_model.safetensors").write_bytes(WEIGHTS)
    return run


class Exporter:
    """Stands for `export`: writes a finished export when it may, and remembers the plans."""

    def __init__(self) -> None:
        self.plans: list[ExportPlan] = []
        self.may_end = asyncio.Event()
        self.fails = ""

    async def export(self, plan: ExportPlan, report: OnProgress) -> None:
        self.plans.append(plan)
        report(Progress("1 of 3: merging", 3, 6))
        await self.may_end.wait()
        if self.fails:
            raise CodexError(self.fails, "Free some space.")
        write_export(plan.run, plan.kind, {"model.safetensors": b"x" * 2_000_000}, adapter=WEIGHTS)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Exporter:
    exporter = Exporter()
    monkeypatch.setattr("codex_tui.ui.export.work.export", exporter.export)
    monkeypatch.setattr("codex_tui.ui.export.work.ensure_llama_cpp", lambda report: None)
    return exporter


def words_of(pilot: Pilot[Any]) -> str:
    return " ".join(screen_text(pilot.app).replace("│", " ").split())


async def see(pilot: Pilot[Any], *texts: str) -> None:
    await until(pilot, lambda: all(text in words_of(pilot) for text in texts))


def hints_of(pilot: Pilot[Any]) -> list[str]:
    return pilot.app.screen.query_one(HintBar).keys


async def open_exports(pilot: Pilot[Any]) -> ExportScreen:
    await settled(pilot)
    await pilot.press("E")
    await until(pilot, lambda: isinstance(pilot.app.screen, ExportScreen))
    await see(pilot, "Take the model elsewhere", "Adapter")
    return pilot.app.screen


async def test_a_run_without_exports_says_what_there_is(run: RunDirectory, exporter: Exporter) -> None:
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await see(pilot, "zombies-1")
        assert "E" in hints_of(pilot)
        await open_exports(pilot)
        await see(pilot, "Merged model", "GGUF", "Ollama", "not exported yet", "Adapter: for PEFT")
        await pilot.press("j")
        await see(pilot, "Merged model: one model for transformers and vLLM.", "The run loads its base model in 4 bits")
        assert hints_of(pilot)[:2] == ["Enter", "Esc"]
        await pilot.press("y", "r")  # there is nothing to copy, and nothing to go on with
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ExportScreen))
    assert exporter.plans == []


async def test_an_export_runs_is_stopped_and_goes_on(run: RunDirectory, exporter: Exporter) -> None:
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        screen = await open_exports(pilot)
        await pilot.press("j", "enter")
        await see(pilot, "Which base weights?", "may be downloaded first", "t trained weights (Enter)", "o original")
        await pilot.press("o")
        await see(pilot, "1 of 3: merging", "50 %", "Esc stops")
        await pilot.press("enter")  # one export at a time
        await pilot.press("q")
        await see(pilot, "An export runs. Quit?", "Its finished steps are kept")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("escape")
        await see(pilot, "Stop the export?")
        await pilot.press("enter")
        await see(pilot, "The export was stopped. Its finished steps are kept: r goes on.")
        assert "r" in hints_of(pilot)
        exporter.may_end.set()
        await pilot.press("r")
        await see(pilot, "29 of 30 answers identical at bfloat16, loss per token +0.02", "2.0 MB", "model.safetensors")
        await see(pilot, "from transformers import AutoModelForCausalLM, AutoTokenizer", "--export merged")
        assert "r" not in hints_of(pilot) and not screen.work.stopped
    assert [(plan.kind, plan.base.choice) for plan in exporter.plans] == [("merged", "original")] * 2


async def test_the_types_of_gguf_files_are_asked(run: RunDirectory, exporter: Exporter) -> None:
    exporter.may_end.set()
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_exports(pilot)
        await pilot.press("j", "j", "enter")
        await see(pilot, "Export zombies-1 as GGUF", "q4_k_m")
        await pilot.press(*"q9", "enter")
        await see(pilot, "--quant q9 is not known.")
        await pilot.press("backspace", "backspace", *"f16,q8_0", "enter")
        await see(pilot, "Which base weights?")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExportScreen))
        assert exporter.plans == []
        await pilot.press("enter", "enter", "enter")
        await see(pilot, "codex-tui serve zombies-1")
    assert [(plan.kind, plan.quants, plan.base.choice) for plan in exporter.plans] == [("gguf", ("q4_k_m",), "trained")]


async def test_an_error_is_a_notice_and_the_export_can_go_on(run: RunDirectory, exporter: Exporter) -> None:
    exporter.fails = "The export needs 6.4 GB."
    exporter.may_end.set()
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        screen = await open_exports(pilot)
        await pilot.press("enter")  # an adapter needs no answer
        await see(pilot, "The export needs 6.4 GB.", "Free some space.")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await see(pilot, "r goes on")


async def test_what_each_state_shows(run: RunDirectory) -> None:
    write_export(run, "adapter", {"adapter_model.safetensors": WEIGHTS}, {}, adapter=WEIGHTS)
    write_export(run, "merged", {"model.safetensors": b"model"}, adapter=b"other weights")
    proof = PROOF | {"problems": ["30 of 30 prompts differ \x1b[2J."]}
    write_export(run, "gguf", {"zombies-1-Q4_K_M.gguf": b"GGUF"}, proof, adapter=WEIGHTS)
    folder = write_export(run, "ollama", {"zombies-1-Q4_K_M.gguf": b"GGUF"}, adapter=WEIGHTS)
    (folder / "zombies-1-Q4_K_M.gguf").unlink()
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_exports(pilot)
        await see(
            pilot, "the adapter of the run, byte for byte", "AutoPeftModelForCausalLM", "codex-tui push zombies-1"
        )
        await see(pilot, "of an earlier adapter: Enter exports the present one")
        await see(pilot, "✗ GGUF", "30 of 30 prompts differ")
        await see(pilot, "a file has changed or is gone: Enter makes it again")
        await pilot.press("y")
        assert pilot.app.clipboard.count("\n") == 5
        assert str(run.exports / "adapter") in pilot.app.clipboard
        await pilot.press("j")
        await see(pilot, "Base the 4-bit weights")
        assert "y" not in hints_of(pilot)
        await pilot.press("j", "y")
        assert pilot.app.clipboard == "codex-tui serve zombies-1"


async def test_the_finished_run_offers_it(run: RunDirectory) -> None:
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await see(pilot, "E export")
        await open_exports(pilot)
        assert Path(run.exports).parent == run.path
