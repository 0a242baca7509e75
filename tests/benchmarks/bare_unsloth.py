"""The baseline: the script that one would write without Codex TUI, for the same profile. Nothing of ours but the rows.

    PYTHONPATH=. CODEX_TRAIN_PYTHON tests/benchmarks/bare_unsloth.py CONFIG.json OUTPUT_DIR [--packing] [--padded]

CONFIG.json is that of a run directory. Without options the script leaves padding to Unsloth, as its notebooks do;
`--packing` fills rows of max_seq_length, `--padded` pads. Prints one JSON
line: peak memory in MiB (allocated, reserved, and of the whole
device by NVML, where there is a GPU), the median seconds of a step and the tokens of the median step a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}


class DeviceMemory:
    """The most MiB in use on the first GPU beyond what was in use before, looked at a hundred times a second."""

    def __init__(self) -> None:
        self.peak_mib: float | None = None
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        except Exception:  # noqa: BLE001  no GPU, then
            return
        before = pynvml.nvmlDeviceGetMemoryInfo(handle).used
        self.peak_mib = 0.0

        def watch() -> None:
            while True:
                used = pynvml.nvmlDeviceGetMemoryInfo(handle).used - before
                self.peak_mib = max(self.peak_mib or 0.0, used / 2**20)
                time.sleep(0.01)

        threading.Thread(target=watch, daemon=True).start()


def prepare(config_path: Path) -> dict[str, Any]:
    """Set the environment before Unsloth is imported. Returns the configuration at `config_path`."""
    os.environ.update(QUIET)
    config: dict[str, Any] = json.loads(config_path.read_text())
    if config["profile"]["model"]["name"] == "demo:llama":  # threads would wait longer than they work
        os.environ["OMP_NUM_THREADS"] = "1"
    if config["profile"]["model"]["dtype"] == "float32":  # Unsloth computes in bfloat16 all the same where a CPU can
        os.environ["UNSLOTH_CPU_BF16"] = "0"
    return config


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--padded", action="store_true")
    options = parser.parse_args(arguments)
    config = prepare(options.config)
    output = options.output
    profile = config["profile"]
    device = DeviceMemory()
    from unsloth import FastLanguageModel, is_bfloat16_supported  # isort: skip

    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from training.dataset.rows import read
    from training.dataset.source import local
    from training.job.model import resolve_source

    settings, lora, base = profile["training"], profile["lora"], profile["model"]
    model, tokenizer = FastLanguageModel.from_pretrained(
        resolve_source(base["name"], Path(config["cache"])),
        max_seq_length=base["max_seq_length"],
        load_in_4bit=base["load_in_4bit"],
        dtype=None if base["dtype"] == "auto" else getattr(torch, base["dtype"]),
        use_gradient_checkpointing=settings["gradient_checkpointing"],
    )
    model = FastLanguageModel.get_peft_model(
        model,
        **{key: lora[key] for key in ("r", "lora_alpha", "lora_dropout", "bias", "target_modules", "use_rslora")},
        modules_to_save=lora["modules_to_save"] or None,
        use_gradient_checkpointing=settings["gradient_checkpointing"],
        random_state=settings["seed"],
    )
    rows = [row.messages for row in read(local(config["dataset"])).rows]
    data = Dataset.from_list([{"prompt": list(m[:-1]), "completion": [m[-1]]} for m in rows])
    held_out = min(profile["dataset"]["max_eval_rows"], round(len(data) * profile["dataset"]["eval_fraction"]))
    parts = data.train_test_split(held_out, seed=settings["seed"]) if held_out else {"train": data, "test": None}
    evaluation, checkpoints = profile["evaluation"], profile["checkpoints"]

    marks: list[tuple[float, int]] = []

    class Mark(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            marks.append((time.perf_counter(), int(state.num_input_tokens_seen)))

    same = (
        "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
        "warmup_steps", "lr_scheduler_type", "weight_decay", "max_grad_norm", "optim", "logging_steps", "seed",
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=parts["train"],
        eval_dataset=parts["test"],
        args=SFTConfig(
            output_dir=str(output),
            **{key: settings[key] for key in same},
            max_steps=settings["max_steps"] or -1,
            bf16=base["dtype"] == "bfloat16" or (base["dtype"] == "auto" and is_bfloat16_supported()),
            max_length=base["max_seq_length"],
            **({"packing": True} if options.packing else {"padding_free": False} if options.padded else {}),
            include_num_input_tokens_seen="non_padding",
            eval_strategy="steps" if held_out else "no",
            eval_steps=evaluation["eval_steps"] or 100,
            per_device_eval_batch_size=evaluation["per_device_eval_batch_size"],
            prediction_loss_only=True,
            save_steps=checkpoints["save_steps"] or 100,
            save_total_limit=checkpoints["save_total_limit"],
            report_to="none",
            disable_tqdm=True,
        ),
        callbacks=[Mark()],
    )
    trainer.train()
    settled = marks[len(marks) // 5 :]  # the first steps compile and warm up
    seconds = [after[0] - before[0] for before, after in pairwise(settled)]
    tokens = [after[1] - before[1] for before, after in pairwise(settled)]
    on_gpu = torch.cuda.is_available()
    print(
        json.dumps(
            {
                "peak_allocated_mib": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else None,
                "peak_reserved_mib": round(torch.cuda.max_memory_reserved() / 2**20) if on_gpu else None,
                "peak_device_mib": round(device.peak_mib) if device.peak_mib is not None else None,
                "steps": len(marks),
                "seconds_a_step": round(statistics.median(seconds), 4),
                "tokens_per_second": round(sum(tokens) / sum(seconds), 1),
            }
        ),
        flush=True,
    )
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
