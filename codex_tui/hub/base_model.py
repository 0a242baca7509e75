"""Finds the files of a base model on this machine, and downloads them where they are missing."""

from __future__ import annotations

import re
from pathlib import Path

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.hub.client import connect, make_bar, parse_repo_id
from codex_tui.hub.download import MIN_RESUMED_BYTES, resume_large_file
from codex_tui.hub.model import SMALL_FILES, WEIGHTS, find_cached_model
from training.contract.files import name_path_in_errors
from training.contract.model_files import LICENCE_FILES

_FOUR_BIT_SUFFIX = re.compile(r"(-unsloth)?-bnb-4bit$", re.IGNORECASE)


def name_original(name: str) -> str:
    """Return the name of the 16-bit repository of which `name` is a 4-bit copy: Unsloth names its copies so. Any other
    name stays as it is."""
    return _FOUR_BIT_SUFFIX.sub("", name)


def fetch_model(name: str, revision: str | None, report: OnProgress) -> Path:
    """Return the folder with the files of the model `name` of the Hub. Downloads what is missing. Raises CodexError."""
    if cached := find_cached_model(name, revision):
        return cached
    from huggingface_hub import snapshot_download

    repo = parse_repo_id(name)
    with connect(repo, "model", report) as hub:
        report(Progress(f"asking the Hub about {repo}"))
        info = hub.api.model_info(repo, revision=revision, files_metadata=True, timeout=10)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or () if "/" not in file.rfilename}
        weights = [name for name in sizes if Path(name).match(WEIGHTS[0])]
        if not weights:
            raise CodexError(f"{repo} has no safetensors weights.", "Other formats can carry code and are not loaded.")
        hub.limits.max_file_bytes = max(sizes.values(), default=0) or None
        with name_path_in_errors(hub.cache):
            for file in weights:
                if sizes[file] > MIN_RESUMED_BYTES:
                    resume_large_file(hub, file, info.sha or "")
            hub.start_step(f"fetching {repo}")
            folder = snapshot_download(
                repo,
                revision=revision,
                allow_patterns=[*weights, *SMALL_FILES, *LICENCE_FILES],
                ignore_patterns=["*/*"],
                tqdm_class=make_bar(hub.action, hub.report),
            )
    return Path(folder)
