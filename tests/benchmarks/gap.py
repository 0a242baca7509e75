"""A chat while a run trains on a card that holds one model: in the trainer, beside parking the run for a worker.

    PYTHONPATH=. python tests/benchmarks/gap.py ways [--shape 3b] [--card 4096] [--tokens 64] [--length 1024]
    PYTHONPATH=. python tests/benchmarks/gap.py words [--questions 12]

Run it with an interpreter that has the training stack. `ways` trains the shipped profile for a card of 4 GB, on
random weights of the shape of Llama 3.2 3B in 4 bits, under the allocator's cap (`--card` less the profile's display
reserve). It asks the trainer, then parks the run, asks a chat worker, and lets the run resume. It prints seconds from
the question to the first token and to the end, the time that training lost, and the peak memory beside the limit.
`--shape demo` takes the demo's model, and needs no GPU.

`words` trains the demo, and compares the words of the model in training: with the trainer's cache, without a cache, and
with Unsloth's own decoding with a cache. It prints the speed of each. It prints one JSON line for each measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from gpu import ROOT, config_of, ev_of, train, write_rows

from codex_tui.profiles.resolve import load_profile
from training.contract import cache, loan, questions
from training.contract import events as ev
from training.contract.chat_messages import CHAT, AnswerBegin, AnswerEnd, ChatAnswer, ChatReady, Generate, Token
from training.contract.messages import WorkerError, encode
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.job.environ import FIXED_SEGMENTS

QUESTION = "Say 7. " * 20
WARM_STEPS = 4  # before the first question
LOOK_SECONDS = 0.005
STEPS = 100_000  # more than there is time for


def report(**figures: Any) -> None:
    rounded = {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps(rounded), flush=True)


def make_run(shape: str, card: int, length: int, work: Path) -> RunDirectory:
    run = RunDirectory(work / "run")
    run.create()
    if shape == "demo":
        profile = load_profile(ROOT / "profiles" / "demo.toml")
        whole = profile.model_dump()
        whole["training"] |= {"max_steps": STEPS}
        whole["evaluation"] |= {"eval_steps": STEPS}
        whole["checkpoints"] |= {"save_steps": STEPS}
        config = config_of(Profile.model_validate(whole), profile.dataset.path or "", work / "cache")
    else:
        from capped import MAKE, profile_for
        from memory import folder_of

        os.environ.setdefault("PYTORCH_ALLOC_CONF", FIXED_SEGMENTS)
        began = time.monotonic()
        if not folder_of(shape).exists():
            subprocess.run([sys.executable, str(MAKE), "make", shape], check=True)
        report(model=shape, made_s=time.monotonic() - began)
        write_rows(work / "rows.jsonl", 400, length)
        profile = profile_for(shape, length, STEPS, card)
        config = config_of(profile, str(work / "rows.jsonl"), work / "cache")
    run.config.write_text(json.dumps(config))
    return run


def environ(run: RunDirectory) -> dict[str, str]:
    return {**os.environ, cache.VARIABLE: str(run.path.parent / "cache")}


def find_steps(run: RunDirectory) -> list[ev.Metrics]:
    return [event for event in ev_of(run) if isinstance(event, ev.Metrics)] if run.events.exists() else []


def wait_for_steps(run: RunDirectory, count: int, process: subprocess.Popen[bytes], attempt: int = 1) -> ev.Metrics:
    """Wait for so many steps of `attempt`. Returns the first of them."""
    while True:
        if process.poll() is not None:
            sys.exit(f"The run ended: {ev_of(run)[-1]}\n{run.log.read_text()[-3000:]}")
        events = ev_of(run) if run.events.exists() else []
        starts = [place for place, event in enumerate(events) if isinstance(event, ev.Started)]
        if len(starts) >= attempt:
            steps = [event for event in events[starts[attempt - 1] :] if isinstance(event, ev.Metrics)]
            if len(steps) >= count:
                return steps[0]
        time.sleep(0.05)


@contextmanager
def running(run: RunDirectory) -> Iterator[subprocess.Popen[bytes]]:
    with run.log.open("wb") as log:
        command = [sys.executable, "-m", "training", str(run.path)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ(run), start_new_session=True)
        try:
            yield process
        finally:
            run.request_stop("terminate")
            process.wait()


def make_request(tokens: int, *, adapter: bool) -> Generate:
    messages = [{"role": "user", "content": QUESTION}]
    return Generate(id=1, messages=messages, adapter=adapter, max_new_tokens=tokens)


class Times:
    """The moments of one answer, in seconds since the question."""

    def __init__(self) -> None:
        self._asked_at = time.monotonic()
        self.begin = self.first = self.end = 0.0
        self.tokens = 0

    def take(self, message: ChatAnswer) -> bool:
        """Note the moment of `message`. Returns whether it is the last one."""
        seconds = time.monotonic() - self._asked_at
        match message:
            case AnswerBegin():
                self.begin = seconds
            case Token():
                self.first = self.first or seconds
            case AnswerEnd(tokens=tokens):
                self.tokens, self.end = tokens, seconds
                # Random weights choose tokens that the demo's tokenizer has no text for.
                self.first = self.first or self.begin + (seconds - self.begin) / max(1, tokens)
                return True
            case WorkerError(message=text):
                report(failed=text)
                self.end = seconds
                return True
        return False


def ask_trainer(run: RunDirectory, tokens: int, *, adapter: bool) -> Times:
    times, offset = Times(), 0
    name = questions.ask(run, make_request(tokens, adapter=adapter))
    while True:
        messages, offset = questions.read_answer(run, name, offset)
        if [message for message in messages if times.take(message)]:
            questions.withdraw(run, name)
            return times
        time.sleep(LOOK_SECONDS)


def measure_memory(run: RunDirectory) -> dict[str, Any]:
    events = ev_of(run)
    memory = [event for event in events if isinstance(event, ev.Memory)][-1]
    probe = next((event for event in events if isinstance(event, ev.Probe)), None)
    if memory.peak_reserved_mib is None or probe is None or probe.context_mib is None:
        return {"host_mib": memory.host_mib}
    held = memory.peak_reserved_mib + probe.context_mib
    return {"peak_reserved_mib": memory.peak_reserved_mib, "peak_with_context_mib": held, "limit_mib": probe.limit_mib}


def measure_pauses(run: RunDirectory) -> list[float]:
    """The seconds of each pause in which the trainer answered."""
    phases = [event for event in ev_of(run) if isinstance(event, ev.Phase)]
    return [after.time - phase.time for phase, after in pairwise(phases) if phase.name == "answering"]


def measure_trainer(run: RunDirectory, process: subprocess.Popen[bytes], tokens: int, step: float) -> None:
    report(before_answers=measure_memory(run))
    for number, adapter in enumerate((True, False, True)):
        before = len(find_steps(run))
        times = ask_trainer(run, tokens, adapter=adapter)
        wait_for_steps(run, before + 2, process)
        report(
            way="in the trainer", adapter=adapter, checked=number < 2, tokens=times.tokens, first_token_s=times.first,
            whole_s=times.end, computing_s=times.end - times.begin, pause_s=measure_pauses(run)[-1], step_s=step,
        )  # fmt: skip
    warnings = [event.message for event in ev_of(run) if isinstance(event, ev.Warned)]
    report(after_answers=measure_memory(run), warnings=warnings)


def measure_parking(run: RunDirectory, process: subprocess.Popen[bytes], tokens: int, step: float) -> None:
    asked_at, times = time.monotonic(), Times()
    last = find_steps(run)[-1]
    name = loan.borrow(run, "A benchmark uses the card.", "It ends.")
    while run.is_trainer_alive():
        time.sleep(LOOK_SECONDS)
    free = time.monotonic() - asked_at
    worker = subprocess.Popen(
        [sys.executable, "-m", "training", "chat", str(run.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ(run),
    )  # fmt: skip
    assert worker.stdin and worker.stdout
    ready = 0.0
    for line in worker.stdout:
        message = CHAT.read_answer(line)
        if isinstance(message, ChatReady):
            ready = time.monotonic() - asked_at
            worker.stdin.write(encode(make_request(tokens, adapter=True)))
            worker.stdin.flush()
        elif message is not None and times.take(message):
            break
    worker.stdin.close()
    worker.wait()
    left_at = time.monotonic()
    loan.give_back(run, name)
    first = wait_for_steps(run, 1, process, attempt=2)
    report(
        way="parked", tokens=times.tokens, free_after_s=free, worker_ready_s=ready, first_token_s=times.first,
        whole_s=times.end, trains_again_s=time.monotonic() - left_at, lost_s=first.time - last.time - step, step_s=step,
    )  # fmt: skip


def compare_ways(args: argparse.Namespace, work: Path) -> None:
    began = time.monotonic()
    run = make_run(args.shape, args.card, args.length, work)
    with running(run) as process:
        wait_for_steps(run, WARM_STEPS, process)
        steps = find_steps(run)
        step = (steps[-1].time - steps[0].time) / (steps[-1].step - steps[0].step)
        report(shape=args.shape, trains_after_s=time.monotonic() - began, step_s=step)
        measure_trainer(run, process, args.tokens, step)
        measure_parking(run, process, args.tokens, step)
    report(seconds=time.monotonic() - began)


def compare_words(args: argparse.Namespace, work: Path) -> None:
    profile = load_profile(ROOT / "profiles" / "demo.toml")
    run = RunDirectory(work / "run")
    run.create()
    run.config.write_text(json.dumps(config_of(profile, profile.dataset.path or "", work / "cache")))
    report(trained=train(run))
    program = Path(__file__).with_name("gap_words.py")
    subprocess.run([sys.executable, str(program), str(run.path), str(args.questions)], check=True, env=environ(run))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ways", "words"])
    parser.add_argument("--shape", default="3b", choices=["3b", "8b", "demo"])
    parser.add_argument("--card", type=int, default=4096, help="MiB")
    parser.add_argument("--length", type=int, default=1024, help="tokens a row")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--work", type=Path, default=None)
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        compare = compare_ways if args.what == "ways" else compare_words
        compare(args, Path(temporary))


if __name__ == "__main__":
    main()
