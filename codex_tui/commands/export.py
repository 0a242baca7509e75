"""The command `export`: takes the model of a run elsewhere, as an adapter, merged, as GGUF or for Ollama."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from codex_tui.base.errors import DONE, FAILED
from codex_tui.commands.options import RUN_HELP, add_python_option

KINDS = ("adapter", "merged", "gguf", "ollama")


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
        help="types of the GGUF files, such as q4_k_m,q8_0,f16 (default: q4_k_m); adapter: the adapter alone, for a "
        "base model in GGUF",
    )
    parser.add_argument(
        "--base",
        metavar="B",
        default="trained",
        help="which base weights get the adapter: trained, original, or a folder or repository that you name "
        "(default: trained)",
    )
    parser.add_argument("--out", metavar="FOLDER", help="write here (default: exports/KIND in the run's folder)")
    parser.add_argument("--no-proof", action="store_true", help="do not ask the exported model any questions")
    parser.add_argument("--wait", action="store_true", help="wait while a run trains (default: refuse)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    add_python_option(parser, "export with")
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    import asyncio

    from codex_tui.base.text import clean
    from codex_tui.commands.export_report import format_json, format_report, list_problems
    from codex_tui.commands.progress import print_progress
    from codex_tui.commands.results import fetch_results
    from codex_tui.environment.llama_cpp import ensure_llama_cpp
    from codex_tui.export.exporting import export
    from codex_tui.export.ollama import make_command
    from codex_tui.export.plan import make_plan
    from codex_tui.judge.card_guard import require_idle
    from codex_tui.runs.library import find_run

    quants = args.quant.split(",") if args.quant else ()
    run = find_run(args.target)
    fetch_results(run)
    plan = make_plan(run, args.to, out=args.out, quants=quants, base=args.base, proves=not args.no_proof)
    try:
        with print_progress() as report:
            if plan.kind in ("gguf", "ollama"):
                ensure_llama_cpp(report)
            require_idle(report, wait=args.wait, work="an export")
            record = asyncio.run(export(plan, report))
    except KeyboardInterrupt:
        print("\nFinished steps are kept: the same command goes on from here.", file=sys.stderr)
        raise
    ollama = make_command(plan.run.name, plan.out) if plan.kind == "ollama" else None
    if ollama and ollama.program:
        ollama.run()
    if args.json:
        print(json.dumps(format_json(plan, record, ollama), indent=2))
    else:
        for line in format_report(plan, record, ollama):
            print(clean(line))
    problems = list_problems(record)
    for problem in problems:
        print(clean(f"! {problem}"), file=sys.stderr)
    return FAILED if problems else DONE
