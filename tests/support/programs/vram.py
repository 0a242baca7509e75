"""The memory limit on a made-up GPU of 4,096 MiB. Other programs hold 500 MiB of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import training.finetune.probe as probe  # before torch reports a GPU: bitsandbytes would look for it

import torch  # isort: skip

import msgspec

from training.contract.failures import TrainingFailure, classify
from training.contract.profile import Profile
from training.finetune.failed_pass import PassFinder
from training.finetune.ranks import Ranks
from training.finetune.vram import VramLimit
from training.job.examples import Examples
from training.memory import probes
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.pass_size import set_pass_rows

MIB = 2**20
HELD = {"reserved": 100.0, "context": 300.0, "fraction": 0.0}  # by this process, in MiB; and the cap that was set


def held_mib() -> float | None:
    return HELD["reserved"] + HELD["context"]


CARD: Any = SimpleNamespace(name="Card", total_mib=4096.0, others_mib=500.0, held_mib=held_mib)

torch.cuda.is_available = lambda: True
torch.cuda.get_device_properties = lambda device: SimpleNamespace(total_memory=4096 * MIB)
torch.cuda.memory_reserved = lambda: HELD["reserved"] * MIB
torch.cuda.set_per_process_memory_fraction = lambda fraction: HELD.update(fraction=fraction)


def profile(**hardware: Any) -> Profile:
    return Profile.model_validate({"model": {"name": "x"}, "hardware": hardware})


def limit(card: Any = CARD, **hardware: Any) -> VramLimit:
    return VramLimit(profile(**hardware), card, Path("nowhere"))


def cap_mib() -> int:
    """The allocator's cap as it was set last."""
    return round(HELD["fraction"] * 4096)


def limits() -> list[float | None]:
    idle: Any = SimpleNamespace(name="Card", total_mib=4096.0, others_mib=100.0, held_mib=held_mib)
    return [
        limit().mib,
        limit(idle).mib,
        limit(None).mib,
        limit(idle, display_reserve_mib=50).mib,
        limit(vram_limit_mib=3000).mib,
        limit(vram_limit_mib=9000).mib,
    ]


def caps_by_context() -> list[int]:
    caps = []
    for context, loaded in ((300.0, True), (300.0, False), (-9000.0, True), (40000.0, True)):
        HELD["context"] = context
        limit().apply(loaded=loaded)
        caps.append(cap_mib())
    CARD.held_mib = lambda: None
    limit().apply(loaded=True)
    return [*caps, cap_mib()]


def caps_after_a_probe() -> list[list[float]]:
    """[cap while loading, expected context, measured memory] after each of two probes."""
    caps = []
    for context in (310.0, 420.0):
        probes.write(Path("here"), CARD.name, profile(), probes.Probed(2048, 2800.0, context, 0))
        HELD["context"] = 300.0
        probed = VramLimit(profile(), CARD, Path("here"))
        probed.apply(loaded=False)
        assert probed.machine.measured is not None
        caps.append([cap_mib(), probed.machine.context_mib, probed.machine.measured.reserved_mib])
    return caps


def failures() -> list[list[str]]:
    """[kind, message] of two out-of-memory errors: the GPU's memory, and page-locked host memory."""

    def failure_of(text: str) -> list[str]:
        try:
            with limit().explain_out_of_memory("training", "The run can't go on", profile(), None):
                raise torch.OutOfMemoryError(text)
        except Exception as error:  # noqa: BLE001  the test looks at what it is
            failure = classify(error)
        return [failure.kind, failure.message]

    return [
        failure_of("CUDA out of memory. Tried to allocate 2 MiB"),
        failure_of("pin_memory: CUDA out of memory"),
    ]


def probes_that_do_not_fit() -> list[list[str]]:
    """[kind, message, hint] of a probe that runs out of memory in training, and of one that does in an evaluation."""
    return [fail_in("training_step"), fail_in("prediction_step")]


def fail_in(method: str) -> list[str]:
    torch.cuda.is_available = lambda: True
    shape = ModelShape.from_config(shipped_configs()["unsloth/Llama-3.2-3B-Instruct-bnb-4bit"])
    capped: Any = limit(vram_limit_mib=3000)
    capped.apply = lambda loaded: None
    torch.cuda.is_available = lambda: False  # the probe itself runs on the CPU

    def run_out_of_memory(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 252.00 MiB.")

    trainer: Any = SimpleNamespace(
        args=SimpleNamespace(
            per_device_train_batch_size=1, per_device_eval_batch_size=1, gradient_accumulation_steps=1, device="cpu"
        ),
        pass_tokens=None,
        eval_pass_tokens=None,
        data_collator=lambda rows: {name: torch.tensor([row[name] for row in rows]) for name in rows[0]},
        model=torch.nn.Linear(1, 1),
        model_wrapped=None,
        training_step=lambda *arguments, **options: None,
        prediction_step=lambda *arguments, **options: None,
    )
    setattr(trainer, method, run_out_of_memory)
    attempt: Any = SimpleNamespace(events=SimpleNamespace(emit=lambda event: None), ranks=Ranks())
    job: Any = None
    train, held_out = (
        [{"input_ids": [1] * length, "labels": [1] * length} for length in lengths] for lengths in ((8, 40, 8), (3, 30))
    )
    examples = Examples(train=train, eval=held_out)
    subject = probe.Probe(trainer, examples, attempt, job, profile(), shape, capped)
    try:
        subject.on_train_begin(trainer.args, None, None)
    except TrainingFailure as error:
        failure = classify(error)
        return [failure.kind, failure.message, failure.hint]
    raise AssertionError("the probe did not fail")


def remedy_of_larger_passes() -> str:
    """The hint of a run that found no memory for the passes of four rows that packing = "auto" has chosen."""
    torch.cuda.is_available = lambda: True
    shape = ModelShape.from_config(shipped_configs()["unsloth/Llama-3.2-3B-Instruct-bnb-4bit"])
    try:
        with limit().explain_out_of_memory("training", "It stopped", set_pass_rows(profile(), 4), shape):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 252.00 MiB.")
    except TrainingFailure as error:
        return error.hint
    raise AssertionError("nothing failed")


def rows_that_found_no_memory() -> list[list[Any]]:
    """[message, what the failure says of the memory] for a padded batch, a packed pass, an evaluation whose only row is
    in no file any more, and an optimizer step, which runs no pass."""
    lengths = (3, 7, 5)
    examples = Examples(
        train=[{"input_ids": [*range(10 * length, 11 * length)], "labels": []} for length in lengths],
        eval=[{"input_ids": [9, 9], "labels": []}],
    )
    examples.train_places.extend([0, 2, 1])
    rows: Any = SimpleNamespace(rows=[SimpleNamespace(file=number % 2, line=number + 1) for number in range(3)])
    source: Any = SimpleNamespace(files=[Path("a.jsonl"), Path("b.jsonl")])
    ids = [example["input_ids"] for example in examples.train]
    padded = torch.tensor([row + [0] * (7 - len(row)) for row in ids])
    packed = torch.tensor([[token for row in ids for token in row]])
    batches: list[tuple[Any, int | None, bool]] = [
        ({"input_ids": padded, "attention_mask": (padded > 0).int()}, None, False),
        (
            {"input_ids": packed, "position_ids": torch.tensor([[*range(3), *range(7), *range(5)]])},
            15,
            False,
        ),
        ({"input_ids": torch.tensor([[8, 8, 8, 8]])}, None, True),
        (None, None, False),
    ]
    told = []
    for batch, pass_tokens, is_evaluating in batches:
        trainer: Any = SimpleNamespace(
            running_pass=batch,
            pass_tokens=pass_tokens,
            is_evaluating=is_evaluating,
            args=SimpleNamespace(per_device_train_batch_size=3),
        )
        subject = limit()
        subject.probed_tokens = 6
        subject.find_failed_pass = PassFinder(trainer, examples, rows, source)
        try:
            with subject.explain_out_of_memory("training", "It stopped", profile(), None):
                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 4.00 GiB of which "
                    "8.00 MiB is free. 3.00 GiB allowed; Of the allocated memory 2.00 GiB is allocated by PyTorch, and "
                    "32.86 MiB is reserved by PyTorch but unallocated."
                )
        except TrainingFailure as error:
            told.append([error.message.partition("). ")[2], msgspec.to_builtins(error.memory)])
    return told
