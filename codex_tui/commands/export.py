"""The command `export`: takes the model of a run elsewhere, as an adapter, merged, as GGUF or for Ollama."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE
from codex_tui.commands.options import add_python_option
from codex_tui.commands.train import RUN_HELP

if TYPE_CHECKING:
    from codex_tui.export.ollama import OllamaCommand
    from codex_tui.export.plan import ExportPlan
    from codex_tui.export.records import ExportRecord

KINDS = ("adapter", "merged", "gguf", "ollama")
CHOICES = ("trained", "original")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "export",
        help="take a run's model elsewhere: merged, as GGUF, for Ollama",
        description="Writes the model of a run into a folder, and proves that it answers as the run does. "
        "An export that was stopped goes on with the same command.",
        epilog="A run that loads its base model in 4 bits can be merged with two base models. `--base trained` (the "
        "default) adds the adapter to the 4-bit weights that it was trained on, unpacked to 16 bits: the merged model "
        "answers as the run does, and nothing is downloaded. `--base original` adds it to the original 16-bit weights, "
        "which are finer, but which the adapter has never seen: they may be downloaded first, and the answers differ "
        "a little. The proof shows by how much.",
    )
    parser.add_argument("target", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--to",
        choices=KINDS,
        required=True,
        help="adapter: for PEFT; merged: one model for transformers and vLLM; gguf: for llama.cpp; ollama: GGUF with a "
        "Modelfile",
    )
    parser.add_argument(
        "--quant",
        metavar="Q",
        default="",
        help="types of the GGUF files, such as q4_k_m,q8_0,f16 (default: q4_k_m)",
    )
    parser.add_argument(
        "--base", choices=CHOICES, default="trained", help="which base weights get the adapter (default: trained)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="write here (default: exports/KIND in the run's folder)")
    parser.add_argument("--wait", action="store_true", help="wait while a run trains (default: refuse)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    add_python_option(parser, "export with")
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    import asyncio

    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.environment.llama_cpp import ensure_llama_cpp
    from codex_tui.export.exporting import export
    from codex_tui.export.ollama import make_command
    from codex_tui.export.plan import make_plan
    from codex_tui.judge.card_guard import require_idle
    from codex_tui.runs.library import find_run

    quants = args.quant.split(",") if args.quant else ()
    plan = make_plan(find_run(args.target), args.to, out=args.out, quants=quants, choice=args.base)
    try:
        with print_progress() as report:
            if plan.kind in ("gguf", "ollama"):
                ensure_llama_cpp(report)
            require_idle(report, wait=args.wait)
            record = asyncio.run(export(plan, report))
    except KeyboardInterrupt:
        print("\nFinished steps are kept: the same command goes on from here.", file=sys.stderr)
        raise
    ollama = make_command(plan.run.name, plan.out) if plan.kind == "ollama" else None
    if ollama and ollama.program:
        ollama.run()
    if args.json:
        print(json.dumps(format_json(plan, record, ollama), indent=2))
        return DONE
    for line in format_report(plan, record, ollama):
        print(clean(line))
    return DONE


def format_json(plan: ExportPlan, record: ExportRecord, ollama: OllamaCommand | None) -> dict[str, Any]:
    files = {name: file for step in record.steps.values() for name, file in step.files.items()}
    return {
        "run": record.run,
        "to": record.to,
        "folder": str(plan.out),
        "files": {name: {"bytes": file.size, "sha256": file.sha256} for name, file in files.items()},
        "steps": {name: step.facts for name, step in record.steps.items()},
        **({"ollama": {"command": str(ollama), "created": ollama.program is not None}} if ollama else {}),
    }


def format_report(plan: ExportPlan, record: ExportRecord, ollama: OllamaCommand | None) -> list[str]:
    from codex_tui.base.text import format_size, pluralize
    from codex_tui.export.gguf_types import describe_fallbacks
    from codex_tui.export.ollama import describe_modelfile

    files = [file for step in record.steps.values() for file in step.files.values()]
    size = format_size(sum(file.size for file in files))
    remarks = [describe_fallbacks(step.facts) for step in record.steps.values()]
    if ollama:
        remarks += describe_modelfile(record, ollama)
    return [
        f"{plan.run.name} as {plan.kind}: {pluralize(len(files), 'file')}, {size}",
        str(plan.out),
        *filter(None, remarks),
    ]
