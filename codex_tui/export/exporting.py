"""Exports a run: lists the steps of each kind of export, and runs those that are not finished."""

from __future__ import annotations

from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.progress import OnProgress
from codex_tui.environment.llama_cpp import LlamaCpp, find_llama_cpp
from codex_tui.export import adapter, card, gguf, merge, ollama, proof
from codex_tui.export.gguf_proof import make_gguf_ask
from codex_tui.export.gguf_types import name_file
from codex_tui.export.merge import BaseModel
from codex_tui.export.plan import ADAPTER, ExportPlan
from codex_tui.export.records import ExportRecord
from codex_tui.export.steps import Step, run_steps


async def export(plan: ExportPlan, report: OnProgress) -> ExportRecord:
    """Make the export in the folder of `plan`. Raises CodexError, OSError."""
    base = None if plan.kind == "adapter" else await merge.find_base(plan, report)
    steps, sha256 = list_steps(plan, base), plan.side.model.sha256
    return await run_steps(plan.out, plan.run.name, plan.kind, steps, report, adapter=sha256)


def list_steps(plan: ExportPlan, base: BaseModel | None) -> list[Step]:
    """List all steps of the export in their order. Only an adapter needs no base. Raises EnvironmentMissing."""
    if plan.kind == "adapter" or base is None:
        steps = [adapter.make_step(plan)]
    elif plan.kind == "merged":
        steps = _list_merged_steps(plan, base)
    else:
        steps = list_gguf_steps(plan, base)
    return [*steps, card.make_step(plan, tuple(step.name for step in steps if not step.intermediate))]


def _list_merged_steps(plan: ExportPlan, base: BaseModel) -> list[Step]:
    merged = merge.make_step(plan, base, intermediate=False)
    ask = proof.make_merged_ask(plan, merged.find_folder(plan.out))
    proven = proof.make_step(plan, base.described.dtype, ask, needs=(merged.name,))
    return [merged, proven] if plan.proves else [merged]


def list_gguf_steps(plan: ExportPlan, base: BaseModel) -> list[Step]:
    llama_cpp = find_llama_cpp()
    if llama_cpp.missing:
        raise EnvironmentMissing(
            f"GGUF files need {', '.join(llama_cpp.missing)} of llama.cpp", "Install it: codex-tui setup --export"
        )
    merged = merge.make_step(plan, base, intermediate=True)
    described = base.described
    steps = [merged, *gguf.make_steps(plan, merged, described.dtype, described.parameters, llama_cpp)]
    by_name = {step.name: step for step in steps}
    written = [(quant, by_name[gguf.name_step(quant)]) for quant in plan.quants if quant != ADAPTER]
    if ADAPTER in plan.quants:
        steps.append(gguf.make_adapter_step(plan, base.place, llama_cpp))
    if plan.kind == "ollama":
        quant, step = written[0]
        steps.append(ollama.make_step(plan, step, name_file(plan.run.name, quant), llama_cpp))
    if plan.proves:
        steps += [_make_proof(plan, quant, step, llama_cpp) for quant, step in written]
    return steps


def _make_proof(plan: ExportPlan, quant: str, written: Step, llama_cpp: LlamaCpp) -> Step:
    ask = make_gguf_ask(llama_cpp, written.find_folder(plan.out) / name_file(plan.run.name, quant))
    return proof.make_step(plan, quant.upper(), ask, needs=(written.name,), name=f"proof-{quant}")
