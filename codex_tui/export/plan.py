"""What an export does: the run, its adapter, the kind of the result and its folder. Checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from codex_tui.base.errors import BadInput
from codex_tui.base.locations import expand_home
from codex_tui.export.records import check_folder
from codex_tui.hub.base_model import name_original
from codex_tui.judge.plan import Side, read_side
from training.contract import checkpoints, gguf_messages
from training.contract.config import get_table
from training.contract.export_messages import BaseChoice, Dtype
from training.contract.model_path import is_path
from training.contract.run_directory import RunDirectory

Kind = Literal["adapter", "merged", "gguf", "ollama"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TRAINED, ORIGINAL = "trained", "original"
DEFAULT_QUANT = "q4_k_m"
ADAPTER = "adapter"
"""In the place of a number type: the adapter alone as a GGUF file, for a base model in GGUF."""
QUANTS = (*gguf_messages.FLOAT_TYPES, *gguf_messages.QUANTS, ADAPTER)
"""The number types of a GGUF file."""


@dataclass(frozen=True)
class BaseWeights:
    """Which weights get the adapter: those of the model `name`, a folder or a repository of the Hub."""

    choice: BaseChoice
    name: str
    revision: str | None = None


@dataclass(frozen=True)
class ExportPlan:
    """An export that can begin. `side` is the run with its adapter, `adapter` the folder of that, `out` the folder of
    the result. `quants` are number types of GGUF files, in the order in which the person gave them. `proves`: the
    exported model is asked questions, and its answers are compared with those of the run."""

    side: Side
    adapter: Path
    kind: Kind
    out: Path
    quants: tuple[str, ...]
    base: BaseWeights
    proves: bool

    @property
    def run(self) -> RunDirectory:
        return self.side.run

    @property
    def dtype(self) -> Dtype | None:
        """The number type of the merged weights; None: that of the run. float16 is more exact than bfloat16, and the
        converter makes it anyway; in a merged model, numbers above its range could occur."""
        return "float16" if self.kind in ("gguf", "ollama") else None


def make_plan(
    run: RunDirectory,
    kind: Kind,
    *,
    out: str | None = None,
    quants: Sequence[str] = (),
    base: str = TRAINED,
    proves: bool = True,
) -> ExportPlan:
    """Check everything that can be checked without a model. Raises BadInput."""
    if quants and kind not in ("gguf", "ollama"):
        raise BadInput(f"--quant does not go with --to {kind}.", "Use: --to gguf --quant q4_k_m")
    if kind == "ollama" and ADAPTER in parse_quants(quants):
        raise BadInput("Ollama gets the merged model, and --quant adapter is the adapter alone.", "Use: --to gguf")
    side = read_side(run)
    folder = checkpoints.find_chat_adapter(run)
    assert folder is not None  # read_side has found one
    place = expand_home(out).absolute() if out else run.exports / kind
    check_folder(place)
    return ExportPlan(
        side, folder, kind, place, parse_quants(quants) if quants else (DEFAULT_QUANT,), choose_base(side, base), proves
    )


def choose_base(side: Side, base: str) -> BaseWeights:
    """Find the base weights for `--base`: "trained", "original", a folder, or a repository of the Hub."""
    actual, revision = side.base_name, side.identity["revision"]
    if base == TRAINED:
        return BaseWeights("trained", actual, revision)
    if base != ORIGINAL:
        folder = expand_home(base)
        return BaseWeights("original", str(folder.absolute()) if is_path(base) or folder.is_dir() else base)
    named = str(get_table(side.config.profile, "model").get("name") or actual)
    original = actual if is_path(actual) else name_original(named)
    return BaseWeights("original", original, revision if original == named else None)


def parse_quants(names: Sequence[str]) -> tuple[str, ...]:
    """Return the number types in lower case, each once. Raises BadInput."""
    wanted = dict.fromkeys(name.strip().lower() for name in names if name.strip())
    for name in wanted:
        if name not in QUANTS:
            raise BadInput(f"--quant {name} is not known.", f"Use one or more of {', '.join(QUANTS)}.")
    return tuple(wanted) or (DEFAULT_QUANT,)
