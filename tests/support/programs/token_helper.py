"""The helper process that tokenises, beside the trainer's own tokenizer."""

from __future__ import annotations

# isort: off
import unsloth  # noqa: F401  first: it patches the libraries below
# isort: on

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing

from training.contract.run_directory import RunDirectory
from training.finetune import sft
from training.job import kept_tokens
from training.job.examples import FROM_CACHE, tokenise
from training.job.job import read_all_rows, read_job
from training.job.model import resolve_source
from training.job.token_helper import TokenHelper


def _begin_twice(tokenizer: Any) -> None:
    begin = (tokenizer.bos_token, tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin[0]} {begin[0]} $A", special_tokens=[begin]
    )


# What Unsloth may do to a tokenizer.
CHANGES: dict[str, Callable[[Any], object]] = {
    "nothing": lambda tokenizer: None,
    "padding side": lambda tokenizer: setattr(tokenizer, "padding_side", "left"),
    "chat template": lambda tokenizer: setattr(tokenizer, "chat_template", tokenizer.chat_template + " "),
    "end token": lambda tokenizer: setattr(tokenizer, "eos_token", "<|end_of_text|>"),
    "post-processor": _begin_twice,
    "added token": lambda tokenizer: tokenizer.add_tokens([AddedToken("zombie")]),
    "plain special tokens": lambda tokenizer: setattr(tokenizer.backend_tokenizer, "encode_special_tokens", True),
    "special token": lambda tokenizer: tokenizer.add_special_tokens({"additional_special_tokens": ["wave"]}),
}


def compare(run: str) -> dict[str, list[Any]]:
    """Let the helper tokenise the rows of `run`, and then the trainer, whose tokenizer is Unsloth's, unchanged or
    changed. Returns for each change whether the trainer took its tokens from the cache, and whether they are what it
    would have without a cache."""
    kept_tokens.MAX_FILES = len(CHANGES)  # none is deleted before the last change
    job = read_job(Path(run))
    rows = read_all_rows(job).rows
    source = resolve_source(job.profile.model.name, job.cache)
    found = {}
    for name, change in CHANGES.items():
        _, tokenizer = sft.load_model(job.profile, source)
        change(tokenizer)
        # With another chat template, the helper works on other tokens than the trainer's.
        helper = TokenHelper(RunDirectory(Path(run))) if name in ("nothing", "chat template") else None
        details: set[str] = set()
        cached, plain = (
            tokenise(
                rows,
                tokenizer,
                job.profile,
                eval_rows={1},
                progress=lambda done, detail, details=details: details.add(detail),
                cache=cache,
                wait=helper.wait if helper and cache else None,
            )
            for cache in (job.cache, None)
        )
        found[name] = [FROM_CACHE in details, cached == plain]
    return found
