"""Tokenises the rows of a run in a process of its own, while the trainer imports Unsloth and loads the model.

The helper loads the tokenizer alone, without torch, and puts the tokens into the cache. Their key is made of the rows,
of everything in the tokenizer that decides the tokens, and of the settings. The trainer computes the key too, with the
tokenizer that it has from Unsloth. If the keys differ, or if the helper fails, hangs or is killed, the trainer
tokenises the rows by itself.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from training.contract.model_path import is_path
from training.contract.process import die_with_parent
from training.contract.run_directory import RunDirectory
from training.contract.secrets import redact_secrets
from training.dataset.shapes import Row
from training.job import environ, kept_tokens
from training.job.chosen_template import set_chat_template
from training.job.examples import encode_rows
from training.job.job import Job, read_all_rows, read_job
from training.job.model import load_tokenizer
from training.job.tokens import RowEncoder

SECONDS_PER_ROW, SECONDS_PER_CHARACTER = 1e-4, 4e-7  # as measured on one core
MIN_SECONDS = 1.0  # the helper needs two seconds of a core that is idle meanwhile
MAX_CHARACTERS = 20_000_000  # the helper would have more than half a GB of memory while the model is loaded
MAX_SILENT_SECONDS = 10.0


class TokenHelper:
    """The helper as the trainer sees it. Its stdout has a line with the name of the file in the cache, and then lines
    with the number of rows that are done."""

    def __init__(self, run: RunDirectory, cores: int = 1) -> None:
        """Start the helper, which tokenises on so many cores. Raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "training", "tokens", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
            # Without the Hub: a download would hold locks that the trainer needs, and takes longer than all rows.
            env=os.environ | {"HF_HUB_OFFLINE": "1", "RAYON_NUM_THREADS": str(cores)},
        )

    @classmethod
    def start(cls, run: RunDirectory, job: Job, rows: Sequence[Row]) -> TokenHelper | None:
        """Start the helper for the run's `rows` if it saves time, and if it can work without Unsloth."""
        template, characters = job.profile.model.chat_template, count_characters(rows)
        takes_long = SECONDS_PER_ROW * len(rows) + SECONDS_PER_CHARACTER * characters > MIN_SECONDS
        idle_cores = len(os.sched_getaffinity(0)) - job.profile.processes
        has_template = template is None or is_path(template)  # a template with a name is Unsloth's
        if takes_long and characters < MAX_CHARACTERS and idle_cores > 0 and has_template:
            with suppress(OSError):
                return cls(run, idle_cores)
        return None

    def wait(self, path: Path, progress: Callable[[int, str], None]) -> None:
        """Wait until the helper has put the tokens to `path` in the cache, but only while it works on these. Calls
        `progress` as `tokenise` does. Ends the helper."""
        try:
            lines = iter(()) if path.exists() else self._read_lines()
            if next(lines, "") == path.name:
                for line in lines:
                    progress(int(line), "")
        finally:
            self._process.kill()
            self._process.wait()

    def _read_lines(self) -> Iterator[str]:
        """Yield the lines of the helper until it ends or is silent for too long."""
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            text = b""
            while select.select([pipe], [], [], MAX_SILENT_SECONDS)[0] and (part := pipe.read(4096)):
                *lines, text = (text + part).split(b"\n")
                yield from map(bytes.decode, lines)


def count_characters(rows: Sequence[Row]) -> int:
    """Count the characters in the messages and texts of `rows`."""
    return sum(len(row.text or "") + sum(len(message["content"]) for message in row.messages) for row in rows)


def write(run: Path) -> int:
    """Be the helper: put the tokens of the rows of `run` into the cache, unless they are there. Returns 0, or 1 after a
    line on stderr."""
    die_with_parent(True)
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no line for the trainer
    try:
        environ.block_torch()
        job = read_job(run)
        rows, model = read_all_rows(job).rows, job.profile.model
        tokenizer = load_tokenizer(model.name, job.cache, model.revision)
        tokenizer = set_chat_template(tokenizer, model.chat_template, job.config.chat_template)
        if not tokenizer.is_fast:
            raise ValueError("Only a fast tokenizer tells everything that decides its tokens.")
        path = kept_tokens.cache_path(job.cache, rows, tokenizer, job.profile.dataset)
        os.write(out, f"{path.name}\n".encode())
        encoder = RowEncoder(tokenizer, job.profile.dataset)
        for _ in () if path.exists() else encode_rows(rows, encoder, lambda done: os.write(out, b"%d\n" % done), path):
            pass
    except BrokenPipeError:  # the trainer has ended before the kernel knew that the helper must end with it
        return 1
    except Exception as error:  # noqa: BLE001  the trainer tokenises by itself
        reason = redact_secrets(f"{type(error).__name__}: {error}")
        print(f"The trainer tokenises the rows by itself, because its helper failed. {reason}")  # noqa: T201
        return 1
    return 0
