"""Makes a finished run with a minimal adapter."""

from __future__ import annotations

import os
from typing import Any

from support.config_file import write_config
from support.hub.user import HubUser
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

REPO = "me/waves-lora"
TOKEN_IN_PROFILE = "hf_" + "p" * 34
FILES = {
    "adapter_config.json": b'{"base_model_name_or_path": "meta/Tiny", "peft_type": "LORA"}',
    "adapter_model.safetensors": bytes(range(256)) * 400,
    "tokenizer.json": b"{}",
    "README.md": b"what PEFT wrote",
}


def make_run(user: HubUser, name: str = "waves-1", base: str = "meta/Tiny", **changes: Any) -> RunDirectory:
    run = RunDirectory(user.home / "codex" / "data" / "runs" / name)
    run.create()
    profile = Profile.model_validate(
        {
            "title": f"with ``` in it and {TOKEN_IN_PROFILE}",
            "model": {"name": base, "max_seq_length": 512},
            "dataset": {"path": f"{user.home}/secret-folder/train.jsonl"},
        }
    )
    run.profile.write_text("")
    write_config(
        run,
        {
            "name": name,
            "profile_name": "waves",
            "profile": profile.model_dump(mode="json"),
            "dataset": f"{user.home}/secret-folder/train.jsonl",
            "dataset_fingerprint": {"sha256": "ab" * 32, "rows": 200, "train_rows": 190, "eval_rows": 10},
            "stack": {"torch": "2.13.0", "peft": "0.21.2", "bitsandbytes": None},
            **changes,
        },
    )
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    writer = EventWriter(run.events)
    for event in (
        ev.Started(attempt=1, pid=1),
        ev.Resolved(total_steps=20, steps_per_epoch=10, train_rows=190, eval_rows=10, trainable_parameters=12_345),
        ev.Metrics(step=10, loss=2.5),
        ev.Eval(step=10, eval_loss=1.25),
        ev.Metrics(step=20, loss=0.75),
        ev.Eval(step=20, eval_loss=1.5),
        ev.Done(step=20, seconds=3.0),
    ):
        writer.emit(event)
    writer.close()
    run.adapter.mkdir()
    for file, content in FILES.items():
        (run.adapter / file).write_bytes(content)
    return run


def read_card(user: HubUser) -> str:
    return user.hub.repos["model", REPO].commits[-1].files["README.md"].decode()
