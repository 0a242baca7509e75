"""The command `chat`: asks the adapter of a run, or its base model."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from codex_tui.base.errors import DONE, BadInput, CodexError
from codex_tui.commands.options import add_low_bandwidth_option, add_python_option
from codex_tui.commands.train import RUN_HELP
from training.contract.run_directory import RunDirectory


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "chat",
        help="chat with a run's adapter",
        description="Opens the app on the run's chat. With --prompt, prints one greedy answer and nothing else.",
    )
    parser.add_argument("target", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--prompt", metavar="TEXT", help="ask this and print only the answer; '-' reads the question from stdin"
    )
    parser.add_argument("--base", action="store_true", help="ask the base model, without the adapter")
    parser.add_argument(
        "--max-new-tokens",
        metavar="N",
        type=int,
        default=256,
        help="length limit of the answer, in tokens (default: 256)",
    )
    add_python_option(parser, "chat with")
    add_low_bandwidth_option(parser)
    parser.set_defaults(run=run_chat)


def run_chat(args: argparse.Namespace) -> int:
    from codex_tui.runs.library import find_run
    from codex_tui.runs.outcome import read_config

    run = find_run(args.target)
    read_config(run)
    if args.prompt is None:
        from codex_tui.commands.open_app import open_app

        otherwise = f"codex-tui chat {run.name} --prompt TEXT"
        return open_app(run, "chat", base=args.base, low_bandwidth=args.low_bandwidth, otherwise=otherwise)
    prompt = _text(sys.stdin.buffer.read().rstrip(b"\r\n") if args.prompt == "-" else os.fsencode(args.prompt))
    if not prompt.strip():
        raise BadInput("The prompt is empty.", 'Ask something: --prompt "Which weapon first?"')
    if args.max_new_tokens < 1:
        raise BadInput(f"--max-new-tokens {args.max_new_tokens} is too small: it must be at least 1.")
    if not args.base:
        from codex_tui.workers.chat import adapter_of

        found = adapter_of(run, thorough=True)
        if found is None:
            raise _no_adapter(run)  # before the slow load of the model
        if found.step is not None:
            print(f"{found.name.capitalize()} answers, because the run has saved no adapter yet.", file=sys.stderr)
    return asyncio.run(_ask(run, prompt, adapter=not args.base, max_new_tokens=args.max_new_tokens))


def _no_adapter(run: RunDirectory) -> BadInput:
    from codex_tui.runs.follower import snapshot

    base = f"codex-tui chat {run.name} --base"
    watched = snapshot(run)
    if not watched.ended:
        return BadInput(f"{run.name} has no adapter yet.", f"Wait for its first checkpoint, or: {base}")
    ended = {"lost": "was lost", "stopped": "was stopped", "failed": "failed", "done": "is done"}[watched.status]
    return BadInput(
        f"{run.name} has no adapter and no whole checkpoint, and will get none: it {ended}.",
        f"Train it again: codex-tui resume {run.name}\nOr ask the base model: {base}",
    )


def _text(prompt: bytes) -> str:
    try:
        return prompt.decode()
    except UnicodeDecodeError:
        raise BadInput("The prompt is not UTF-8 text.") from None


async def _ask(run: RunDirectory, prompt: str, *, adapter: bool, max_new_tokens: int) -> int:
    """Print the answer on stdout as it comes. If stderr is a terminal, show there what is loading."""
    from codex_tui.base.text import clean
    from codex_tui.workers.process import Worker, describe_unused_python, find_python_for
    from training.contract.messages import CHAT, AnswerEnd, ChatReady, Generate, Loading, Token, WorkerError

    # A pipe gets the answer unchanged; control characters must not reach a terminal.
    shown = (lambda text: clean(text, newlines=True)) if sys.stdout.isatty() else str
    python = find_python_for(run)
    if notice := describe_unused_python(run):
        print(clean(notice), file=sys.stderr)
    worker = await Worker.start(python, CHAT, run.path)
    try:
        async for answer in worker:
            match answer:
                case Loading() if sys.stderr.isatty():
                    print(f"\r\x1b[K{clean(answer.detail)}", end="", file=sys.stderr, flush=True)
                case ChatReady() if adapter and not answer.has_adapter:
                    raise _no_adapter(run)
                case ChatReady():
                    if sys.stderr.isatty():
                        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
                    await worker.send(
                        Generate(
                            id=1,
                            messages=[{"role": "user", "content": prompt}],
                            adapter=adapter,
                            max_new_tokens=max_new_tokens,
                        )
                    )
                case Token():
                    print(shown(answer.text), end="", flush=True)
                case AnswerEnd():
                    print()
                    return DONE
                case WorkerError():
                    raise CodexError(answer.message, answer.hint)
        raise CodexError("The chat worker ended without an answer.", worker.last_lines())
    finally:
        await worker.close()
