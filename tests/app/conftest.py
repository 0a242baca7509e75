"""Runs, profiles and workers that the screens are tried with: real files, made in a moment, at a fixed time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from support import data_screen, fake_forecast
from support.config_file import write_config
from support.fake_checkpoint import write_checkpoint
from support.fake_inspect import WordWorker
from support.fake_worker import InProcessWorker
from support.screens import EVIL, NOW, MakeRun, machine

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.environment import build
from codex_tui.launch_plan import LaunchPlan
from codex_tui.machine import forecast
from training.contract import events as ev
from training.contract.chat_messages import AnswerBegin, AnswerEnd, ChatReady, Generate, StopAnswer, Token
from training.contract.config import RowForm
from training.contract.inspect_messages import INSPECT, InspectReady, RenderedRow, RenderedSequence, Segment, ShowRow
from training.contract.messages import Loading, Message
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

PROFILE = """
title = "{title}"
description = "Answers in the style of a strategy guide."
[model]
name = "unsloth/Llama-3.2-3B-Instruct"
[dataset]
path = "demo:zombie-waves"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own CODEX_TUI_HOME, two shipped profiles, a machine and a forecast that are always the same."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "small-card.toml").write_text(PROFILE.format(title="Llama 3.2 3B on 6 GB"))
    (shipped / "broken.toml").write_text('[model]\nname = "x"\n[lora]\nrank = 3\n[training]\nlearning_rate = "fast"\n')
    monkeypatch.setattr(locations, "shipped_profiles", lambda: shipped)
    monkeypatch.setattr("codex_tui.ui.cockpit.gpu_reader.make_sampler", lambda device: SimpleNamespace(read=machine))
    for name in ("LIVE_SAMPLE_TICKS", "IDLE_SAMPLE_TICKS"):  # one reading, or a slow machine would draw more of them
        monkeypatch.setattr(f"codex_tui.ui.cockpit.screen.{name}", 10**9)
    for name in ("read_card", "forecast_resources"):
        monkeypatch.setattr(forecast, name, getattr(fake_forecast, name))
    for module in ("launch_plan", "hub.model"):  # no test asks the Hub
        monkeypatch.setattr(f"codex_tui.{module}.find_missing_model", lambda profile, path: None)
    monkeypatch.setattr("codex_tui.ui.runs.screen.time", SimpleNamespace(time=lambda: NOW))
    return tmp_path


@pytest.fixture
def make_run() -> MakeRun:
    return write_run


def write_run(
    name: str = "zombies-1",
    end: str = "done",
    steps: int = 200,
    *,
    total: int = 200,
    text: str = "Hold the loading dock until wave 12, then fall back to the roof.",
    message: str = "The GPU ran out of memory at step 121.",
    profile: str = "small-card",
    log: str = "Unsloth: patched 28 layers.\n",
    form: RowForm | None = None,
) -> RunDirectory:
    """A run directory as a trainer leaves it; `end` is its state, "training" one that this process keeps alive."""
    run = RunDirectory(locations.runs_home() / name)
    run.create()
    run.profile.write_text(PROFILE.format(title="x"))
    os.utime(run.profile, (NOW - 3600, NOW - 3600))
    settings = Profile.model_validate({"model": {"name": "unsloth/Llama-3.2-3B-Instruct"}})
    config = {"name": name, "created": NOW - 3600, "profile_name": profile, "profile": settings.model_dump(mode="json")}
    config |= {"row_form": msgspec.to_builtins(form)} if form else {}
    write_config(run, {**config, "dataset": "demo:zombie-waves"})
    run.log.write_text(log)
    lines = []
    for number, (delay, event) in enumerate(_events(end, steps, total, text, message)):
        event.seq, event.time = number, NOW - 3600 + delay
        lines.append(msgspec.json.encode(event) + b"\n")
    run.events.write_bytes(b"".join(lines))
    alive = end in ("training", "loading")
    run.write_process(ProcessIdentity.current() if alive else ProcessIdentity(999_999, 1.0))
    if end in ("failed", "lost", "stopped"):
        for step in range(40, steps + 1, 40):
            write_checkpoint(run.checkpoints, step)
    if end == "done":
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
    return run


def _events(end: str, steps: int, total: int, text: str, message: str) -> Iterator[tuple[float, ev.Event]]:
    yield 0.0, ev.Started(attempt=1, pid=4242)
    if end == "loading":
        yield 5.0, ev.Phase(name="tokenising", done=1200, total=5200, unit="rows")
        return
    yield 9.0, ev.Resolved(total_steps=total, steps_per_epoch=total // 2, train_rows=209, eval_rows=11, device="cuda")
    yield 10.0, ev.Phase(name="training")
    for step in range(1, steps + 1):
        loss = 0.35 + 2.6 * math.exp(-step / 50) + 0.1 * math.sin(step * 2.1)
        yield 10.0 + step, ev.Metrics(
            step=step, epoch=step / 100, loss=loss, learning_rate=2e-4 * (1 - step / 250), grad_norm=0.71,
            tokens=step * 1300, tokens_per_second=1300.0,
        )  # fmt: skip
        if step % 40 == 0:
            yield 10.0 + step, ev.Eval(step=step, eval_loss=0.42 + 2.5 * math.exp(-step / 50))
            yield (
                10.0 + step,
                ev.Sample(step=step, prompt="Where do two players hold?", text=text, reference="The dock."),
            )
            yield 10.0 + step, ev.Checkpoint(step=step, path=f"checkpoints/checkpoint-{step}")
    yield 10.0 + steps, ev.Memory(step=steps, peak_reserved_mib=4480.0, host_mib=1900.0)
    last = 11.0 + steps
    if end == "done":
        yield last, ev.Done(step=steps, seconds=last)
    elif end == "failed":
        hint = "Set max_seq_length = 1024: it gives back about 640 MiB."
        yield last, ev.Failed(kind="gpu_memory", message=message, hint=hint, step=steps)
    elif end == "stopped":
        yield last, ev.Stopped(step=steps)


class FakeWorker(InProcessWorker):
    """Answers like `python -m training chat` and `inspect`, with the same answer and the same row each time."""

    answer: list[str] = ["Hold ", "the dock."]
    base_answer: list[str] | None = None  # of the base model, if it is another one
    ends_by_itself = True
    loads = True  # whether the model is loaded at once
    form = RowForm(max_tokens=128)
    prompt_tokens, left_out = 20, 0

    def begin(self) -> None:
        if self.protocol is INSPECT:
            self.say(InspectReady(rows=3))
            return
        self.say(Loading(detail="loading", done=1, total=2))
        if self.loads:
            self.be_ready()

    def be_ready(self) -> None:
        self.say(ChatReady(device="cpu", has_adapter=True, form=self.form, context=2048))

    def take(self, request: Message) -> None:
        match request:
            case Generate(id=number, adapter=with_adapter):
                self.say(AnswerBegin(id=number, tokens=self.prompt_tokens, left_out=self.left_out))
                for piece in self.answer if with_adapter else self.base_answer or self.answer:
                    self.say(Token(id=number, text=piece))
                if self.ends_by_itself:
                    self.say(AnswerEnd(id=number, reason="eos", tokens=8, seconds=0.5))
            case StopAnswer(id=number):
                self.say(AnswerEnd(id=number, reason="stopped", tokens=2, seconds=0.1))
            case ShowRow(index=index):
                self.say(_row(index))


def _row(index: int) -> RenderedRow:
    segments = [
        Segment("<|start_header_id|>user<|end_header_id|>\n\nWhere do two players hold?<|eot_id|>"),
        Segment("At the dock. " + EVIL, learned=True),
        Segment(" And then the roof.", cut=True),
    ]
    sequence = RenderedSequence(segments=segments, tokens=40, spans=[(12, 40)], learned_tokens=20)
    return RenderedRow(
        index=index, line=index + 1, raw={"instruction": "Where?", "response": EVIL}, sequences=[sequence],
        max_seq_length=32, split="train",
    )  # fmt: skip


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    """The workers that were started; each test has a class of its own."""
    kind = type("Workers", (FakeWorker,), {"started": []})
    monkeypatch.setattr("codex_tui.workers.process.Worker", kind)
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda: Path("/usr/bin/python3"))
    return kind


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch, make_run: MakeRun) -> list[LaunchPlan]:
    """The plans of the runs that the dialog starts."""
    plans: list[LaunchPlan] = []

    def launch(plan: LaunchPlan, python: Path, **_: object) -> RunDirectory:
        plans.append(plan)
        return make_run(name=plan.name or "mine-1", end="training", steps=10)

    monkeypatch.setattr(build, "ensure", lambda progress: Path("/usr/bin/python3"))
    monkeypatch.setattr(launcher, "launch", launch)
    return plans


@pytest.fixture
def dataset(home: Path) -> Path:
    path = home / "rows.jsonl"
    path.write_text("\n".join(data_screen.rows()) + "\n")
    return path


@pytest.fixture
def profile(home: Path) -> Path:
    path = locations.user_profiles() / "mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text(data_screen.PROFILE)
    return path


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[WordWorker]:
    """The inspect worker, in the same process."""
    kind = type("Words", (WordWorker,), {"started": []})
    monkeypatch.setattr("codex_tui.workers.process.Worker", kind)
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda: Path("/usr/bin/python3"))
    return kind
