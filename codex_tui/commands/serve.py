"""The command `serve`: an OpenAI-compatible endpoint for a run's model, by llama.cpp's server."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from codex_tui.base.errors import DONE
from codex_tui.commands.options import RUN_HELP

if TYPE_CHECKING:
    from codex_tui.export.serving import Serving

DEFAULT_PORT, LOOPBACK = 8080, "127.0.0.1"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "serve",
        help="serve a run's model with the OpenAI API, by llama.cpp",
        description="Starts llama-server with a GGUF file that `export` wrote, and watches it until Ctrl-C. Programs "
        "that know the OpenAI API can use the model, and a browser finds a chat at the same address. On another "
        "address than loopback, every request needs a key, which is printed once.",
        epilog="CODEX_TUI_API_KEY sets the key. While a run trains, the server uses the CPU alone.",
    )
    parser.add_argument("target", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--port", metavar="N", type=int, default=DEFAULT_PORT, help=f"(default: {DEFAULT_PORT})")
    parser.add_argument(
        "--host", metavar="ADDRESS", default=LOOPBACK, help=f"0.0.0.0 lets others in (default: {LOOPBACK})"
    )
    parser.add_argument("--quant", metavar="Q", help="serve the file of this type (default: q4_k_m if it is there)")
    parser.add_argument("--out", metavar="FOLDER", help="the folder of the export, if it is not in the run's folder")
    parser.add_argument(
        "--context",
        metavar="N",
        type=int,
        help="tokens that the model can see (default: 4096, or more if it learned so)",
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON when it answers, for scripts")
    parser.set_defaults(run=run_serve)


def run_serve(args: argparse.Namespace) -> int:
    import asyncio

    from codex_tui.commands.results import fetch_results
    from codex_tui.export.serving import plan_serving
    from codex_tui.runs.library import find_run

    run = find_run(args.target)
    fetch_results(run)
    serving = plan_serving(
        run,
        host=args.host,
        port=args.port,
        quant=args.quant,
        out=args.out,
        context=args.context,
    )
    try:
        asyncio.run(_serve(serving, as_json=args.json))
    except KeyboardInterrupt:
        if not args.json:
            print("\nThe server has ended.", file=sys.stderr)
        return DONE


async def _serve(serving: Serving, *, as_json: bool) -> NoReturn:
    """Start the server, say how to use it, and wait. Raises CodexError when the server ends by itself."""
    from contextlib import ExitStack

    from codex_tui.base.errors import CodexError
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.llama_cpp.llama_server import start_server

    until_ready = ExitStack()
    report = until_ready.enter_context(print_progress())
    with until_ready:
        async with start_server(serving.program, serving.options, report) as server:
            until_ready.close()
            if as_json:
                print(json.dumps(_format_json(serving, server.url)), flush=True)
            else:
                for line in _format_lines(serving, server.url):
                    print(clean(line), flush=True)
            await server.wait()
            raise CodexError("llama-server has ended.", server.last_lines())


def _format_json(serving: Serving, url: str) -> dict[str, Any]:
    return {
        "run": serving.run.name,
        "url": f"{url}/v1",
        "model": str(serving.options.model),
        "quant": serving.quant,
        "context": serving.options.context,
        "gpu": serving.options.use_gpu,
        "api_key": serving.options.api_key or None,
    }


def _format_lines(serving: Serving, url: str) -> list[str]:
    from codex_tui.export.serving import format_curl

    options = serving.options
    lines = [f"{serving.run.name} ({serving.quant}) answers at {url}/v1, and in a browser at {url}"]
    if options.api_key:
        lines.append(f"The key, which is not shown again: {options.api_key}")
    if not options.use_gpu:
        lines.append("A run trains, so the server leaves the GPU to it.")
    return [*lines, format_curl(serving, url), "Ctrl-C ends it."]
