"""What a run may take of its card, and the probe that finds out: on a CPU, with the card's figures put in its place."""

from __future__ import annotations

from typing import Any

from support.training_runs import Trainer, demo_profile, events, losses

# A card of 4,096 MiB of which this process holds what `allocated` and `context` say, and others 500.
CARD = """
import json
from pathlib import Path
from types import SimpleNamespace
import torch
MIB = 2**20
held = {"reserved": 100.0, "context": 300.0, "fraction": None}
torch.cuda.is_available = lambda: True
torch.cuda.get_device_properties = lambda device: SimpleNamespace(total_memory=4096 * MIB)
torch.cuda.memory_reserved = lambda: held["reserved"] * MIB
torch.cuda.set_per_process_memory_fraction = lambda fraction: held.update(fraction=fraction)
card = SimpleNamespace(name="Card", total_mib=4096.0, others_mib=500.0)
card.held_mib = lambda: held["reserved"] + held["context"]
from training.contract.profile import Profile
from training.finetune.vram import VramLimit
def profile(**hardware):
    return Profile.model_validate({"model": {"name": "x"}, "hardware": hardware})
def limit(card=card, **hardware):
    return VramLimit(profile(**hardware), card, Path("nowhere"))
"""


def test_the_limit_leaves_room_for_the_display_or_for_what_others_hold(trainer: Trainer) -> None:
    found = trainer.python_says(
        CARD
        + """
others = SimpleNamespace(name="Card", total_mib=4096.0, others_mib=100.0, held_mib=card.held_mib)
print(json.dumps([limit().mib, limit(others).mib, limit(None).mib, limit(others, display_reserve_mib=50).mib,
                  limit(vram_limit_mib=3000).mib, limit(vram_limit_mib=9000).mib]))
"""
    )
    assert found == [3596, 3796, 3796, 3996, 3000, 3596]


def test_the_allocator_gets_what_the_context_leaves(trainer: Trainer) -> None:
    found = trainer.python_says(
        CARD
        + """
told = []
for context, loaded in ((300.0, True), (300.0, False), (-9000.0, True), (40000.0, True)):
    held["context"] = context
    limit().apply(loaded=loaded)
    told.append(round(held["fraction"] * 4096))
card.held_mib = lambda: None
limit().apply(loaded=True)
told.append(round(held["fraction"] * 4096))
print(json.dumps(told))
"""
    )
    # What no card ever had is another program that came or went; unknown counts as what was measured on an H100.
    assert found == [3596 - 300, 3596 - 364, 3596 - 64, 3596 - 1200, 3596 - 828]


def test_a_card_that_was_probed_before_keeps_room_for_its_whole_context_while_loading(trainer: Trainer) -> None:
    found = trainer.python_says(
        CARD
        + """
from training.memory import probes
told = []
for seen in (310.0, 420.0):
    probes.write(Path("here"), card.name, profile(), probes.Probed(2048, 2800.0, seen, 0))
    held["context"] = 300.0
    known = VramLimit(profile(), card, Path("here"))
    known.apply(loaded=False)
    told.append([round(held["fraction"] * 4096), known.machine.context_mib, known.machine.measured.reserved_mib])
print(json.dumps(told))
"""
    )
    assert found == [[3596 - 364, 310.0, 2800.0], [3596 - 420, 420.0, 2800.0]]


def test_memory_that_runs_out_is_told_from_page_locked_memory_that_does(trainer: Trainer) -> None:
    found = trainer.python_says(
        CARD
        + """
from training.contract.failures import classify
def named(text):
    try:
        with limit().explained("The run can't go on", profile(), None):
            raise torch.OutOfMemoryError(text)
    except torch.OutOfMemoryError as error:
        failure = classify(error)
    except Exception as error:
        failure = classify(error)
    return [failure.kind, failure.message]
print(json.dumps([named("CUDA out of memory. Tried to allocate 2 MiB"), named("pin_memory: CUDA out of memory")]))
"""
    )
    assert found == [
        ["gpu_memory", "The run can't go on within 3,596 MiB of the card: the GPU's memory ran out."],
        ["pinned_memory", "Page-locked host memory ran out."],
    ]


def test_what_is_locked_follows_from_the_machine_and_the_profile(trainer: Trainer) -> None:
    found = trainer.python_says(
        """
import json, os
from training.finetune import pinned
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.pinned_memory import PinnedUnknown
from training.contract.profile import Profile
shape = ModelShape.of(shipped_configs()["unsloth/Llama-3.2-3B-Instruct-bnb-4bit"])
NAMES = ("UNSLOTH_DISABLE_PINNED_MEMORY", "UNSLOTH_GC_PINNED_MAX_GB")
told = []
def prepare(there, offload_layers=0, checkpointing="unsloth", **hardware):
    for name in NAMES:
        os.environ.pop(name, None)
    def lockable(wanted, block):
        if there is None:
            raise PinnedUnknown("no card")
        return min(wanted, there)
    pinned.lockable_mib = lockable
    said = pinned.prepare(Profile.model_validate({
        "model": {"name": "x", "offload_layers": offload_layers}, "hardware": hardware,
        "training": {"gradient_checkpointing": checkpointing}}), shape)
    told.append([said is not None, *map(os.environ.get, NAMES)])
for there in (4096, 256, 8, None):
    prepare(there)
prepare(4096, pinned_limit_mib=128)
prepare(4096, pinned_limit_mib=0)
prepare(4096, pinned_limit_mib=600, offload_layers=14)
prepare(4096, pinned_limit_mib=900, offload_layers=14)
prepare(4096, checkpointing=True)
print(json.dumps([pinned.parked_mib(Profile.model_validate({"model": {"name": "x"}}), shape), told]))
"""
    )
    parked, told = found
    assert parked == [27 * 16, 16]
    assert told == [
        [False, None, None],
        [True, None, "0.237"],
        [True, "1", None],
        [False, None, None],
        [True, None, "0.119"],
        [True, "1", None],
        [True, "1", None],  # 14 layers are 672 MiB, in one piece
        [True, None, "0.212"],  # which leave 228 of 900
        [False, None, None],  # nothing waits on the host
    ]


def test_memory_that_runs_out_in_the_probe_is_named_with_remedies(trainer: Trainer) -> None:
    said = trainer.python_says(
        "import training.finetune.probe as probe  # before a card is made up: bitsandbytes would look for it\n"
        + CARD
        + """
from types import SimpleNamespace as Is
from training.memory.model_shape import ModelShape, shipped_configs
from training.contract.failures import classify
shape = ModelShape.of(shipped_configs()["unsloth/Llama-3.2-3B-Instruct-bnb-4bit"])
torch.cuda.is_available = lambda: False
def step(*arguments, **named):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 252.00 MiB.")
trainer = Is(
    args=Is(per_device_train_batch_size=1, gradient_accumulation_steps=1, device="cpu"),
    data_collator=lambda rows: {name: torch.tensor([row[name] for row in rows]) for name in rows[0]},
    model=torch.nn.Linear(1, 1), model_wrapped=None, training_step=step,
)
torch.cuda.is_available = lambda: True
kept = limit(vram_limit_mib=3000)
torch.cuda.is_available = lambda: False
kept.mib = 3000.0
kept.apply = lambda loaded: None
told = Is(events=Is(emit=lambda event: None))
subject = probe.Probe(told, None, profile(), shape, kept, None)
subject.trainer, subject.longest = trainer, {"input_ids": [1] * 40, "labels": [1] * 40}
try:
    subject.on_train_begin(trainer.args, None, None)
except Exception as error:
    failure = classify(error)
    print(json.dumps([failure.kind, failure.message, failure.hint]))
"""
    )
    kind, message, hint = said
    assert kind == "gpu_memory"
    assert "The longest row, 40 tokens," in message
    assert "3,000 MiB of the card" in message
    assert "model.offload_layers = " in hint
    assert "gives back" in hint


def test_a_probe_disturbs_nothing(trainer: Trainer) -> None:
    """Losses, gradient norms and learning rates to the last bit, with dropout, which draws from the random state."""

    def trained(name: str, **launch: Any) -> dict[int, tuple[float, ...]]:
        profile = demo_profile(training={"max_steps": 6}, lora={"lora_dropout": 0.1}, launch=launch)
        run = trainer.run(name, profile)
        assert trainer.train(run) == 0, run.log.read_text()
        assert len(events(run, "probe")) == int(profile.launch.probe)
        return losses(run)

    assert trained("probed") == trained("not-probed", probe=False)
