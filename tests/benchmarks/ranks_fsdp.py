"""One rank of `ranks.py --fsdp`: `torchrun ranks_fsdp.py RUN OUT`. Trains with the functions of a real run. Prints its
losses and its memory, and saves the adapter in OUT.

Under Unsloth's FSDP2 each rank must call `save_pretrained`, and no checkpoint is written.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from training.contract.checkpoints import ADAPTER
from training.contract.run_directory import RunDirectory
from training.finetune.ranks import Ranks
from training.job import environ
from training.job.job import read_all_rows, read_job


def main() -> None:
    run, out = RunDirectory(Path(sys.argv[1])), Path(sys.argv[2])
    ranks, job = Ranks.from_environ(), read_job(run.path)
    environ.prepare(job.profile, job.cache, ranks.number)
    import torch

    from training.dataset.split import count_steps
    from training.finetune import sft  # first: it imports Unsloth
    from training.job.examples import tokenise
    from training.job.model import resolve_source

    ranks.join()
    profile = job.profile.with_value("checkpoints.save_steps", 10_000)
    model, tokenizer = sft.load_model(profile, resolve_source(profile.model.name, job.cache))
    model = sft.add_adapter(model, profile)
    rows = read_all_rows(job).rows
    with ranks.main_first():
        examples = tokenise(rows, tokenizer, profile, eval_rows=set(), progress=lambda *_: None, cache=job.cache)
    steps = count_steps(profile, len(examples.train))
    trainer = sft.build_trainer(profile, run, model, tokenizer, examples, steps, print, ranks)
    torch.cuda.reset_peak_memory_stats()
    trainer.train()
    losses: list[Any] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    peak = torch.cuda.max_memory_reserved() / 2**20
    model.save_pretrained(out)
    ranks.barrier()
    digest = hashlib.sha256((out / ADAPTER).read_bytes()).hexdigest()[:16]
    kind = type(trainer.model_wrapped).__name__
    figures = {"rank": ranks.number, "kind": kind, "losses": losses, "reserved_mib": round(peak), "adapter": digest}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
