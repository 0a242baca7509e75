"""The command `chat`: asks the adapter of a run, or its base model."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, BadInput, CodexError
from codex_tui.commands.options import RUN_HELP, add_low_bandwidth_option, add_python_option
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.workers.chat_settings import ChatSettings
    from codex_tui.workers.room import ChatWay

WAITING = "waiting for the answer to begin"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "chat",
        help="chat with a run's adapter, or let it continue a text",
        description="Opens the app on the run's chat. With --prompt, prints one answer and nothing else. A run that "
        "learned plain text has no chat: it continues the prompt.",
    )
    parser.add_argument("target", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--prompt", metavar="TEXT", help="ask this and print only the answer; '-' reads the question from stdin"
    )
    parser.add_argument("--base", action="store_true", help="ask the base model, without the adapter")
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--in-trainer", action="store_true", help="while the run trains: its trainer answers between two steps"
    )
    way.add_argument(
        "--park", action="store_true", help="while the run trains: park it, and let it resume after the chat"
    )
    one = parser.add_argument_group("with --prompt")
    one.add_argument(
        "--system", metavar="TEXT", help="use this system message, not the run's own; '' for no system message"
    )
    one.add_argument("--temperature", metavar="T", help="0 (the default) is greedy: always the likeliest token")
    one.add_argument("--top-p", metavar="P", help="choose among the likeliest tokens that add up to P (default: 1)")
    one.add_argument("--seed", metavar="N", help="the same seed gives the same answer")
    one.add_argument("--max-new-tokens", metavar="N", help="length limit of the answer, in tokens (default: 256)")
    add_python_option(parser, "chat with")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=int,
        default=300,
        help="with --prompt: give up when nothing comes from the model for so long (default: 300)",
    )
    add_low_bandwidth_option(parser)
    parser.set_defaults(run=run_chat)


def run_chat(args: argparse.Namespace) -> int:
    import asyncio  # slow to import, and only this command needs it

    from codex_tui.commands.results import fetch_results
    from codex_tui.runs.library import find_run
    from codex_tui.runs.outcome import read_config
    from codex_tui.workers.chat_settings import ChatSettings

    run = find_run(args.target)
    fetch_results(run)
    read_config(run)
    settings = _read_settings(args)
    if args.prompt is None:
        if settings != ChatSettings():
            raise BadInput(
                "The settings of an answer work only with --prompt.", "In the app, ctrl+s sets them for the session."
            )
        from codex_tui.commands.open_app import open_app

        otherwise = f"codex-tui chat {run.name} --prompt TEXT"
        way: ChatWay | None = "trainer" if args.in_trainer else "park" if args.park else None
        options = {"base": args.base, "low_bandwidth": args.low_bandwidth, "otherwise": otherwise}
        return open_app(run, "chat", chat_way=way, **options)
    prompt = _text(sys.stdin.buffer.read().rstrip(b"\r\n") if args.prompt == "-" else os.fsencode(args.prompt))
    if not prompt.strip():
        raise BadInput("The prompt is empty.", 'Ask something: --prompt "Which weapon first?"')
    if args.timeout < 1:
        raise BadInput(f"--timeout {args.timeout} is too small: it must be at least 1.")
    from codex_tui.commands.chat_way import borrow_card, choose_way

    way = choose_way(run, args)
    if way is None:
        return FAILED
    if way == "trainer":
        return asyncio.run(_ask(run, prompt, settings, adapter=not args.base, timeout=args.timeout, in_trainer=True))
    with borrow_card(run) if way == "park" else nullcontext():
        return _ask_worker(run, prompt, settings, args)


def _ask_worker(run: RunDirectory, prompt: str, settings: ChatSettings, args: argparse.Namespace) -> int:
    import asyncio

    if not args.base:
        from codex_tui.workers.chat_models import adapter_of

        adapter = adapter_of(run, thorough=True)
        if adapter is None:
            raise _no_adapter(run)  # before the slow load of the model
        if adapter.step is not None:
            print(f"{adapter.name.capitalize()} answers, because the run has saved no adapter yet.", file=sys.stderr)
    return asyncio.run(_ask(run, prompt, settings, adapter=not args.base, timeout=args.timeout))


def _no_adapter(run: RunDirectory) -> BadInput:
    from codex_tui.runs.follower import snapshot

    base = f"codex-tui chat {run.name} --base"
    watched = snapshot(run)
    if not watched.ended:
        now = "Ask its trainer: add --in-trainer." if run.is_trainer_alive() else "Wait for its first checkpoint."
        if run.is_mirror():
            now = "It comes here from the other machine at the end of the run."
        return BadInput(f"{run.name} has no adapter yet.", f"{now} Or ask the base model: {base}")
    ended = {"lost": "was lost", "stopped": "was stopped", "failed": "failed", "done": "is done"}[watched.status]
    return BadInput(
        f"{run.name} has no adapter and no whole checkpoint, and will get none: it {ended}.",
        f"Train it again: codex-tui resume {run.name}\nOr ask the base model: {base}",
    )


def _read_settings(args: argparse.Namespace) -> ChatSettings:
    """Raises BadInput."""
    from codex_tui.workers.chat_settings import EXPECTED, ChatSettings, parse_setting

    given = {name: text for name in EXPECTED if (text := getattr(args, name)) is not None}
    numbers = {name: parse_setting(name, text, f"--{name.replace('_', '-')}") for name, text in given.items()}
    return ChatSettings(**numbers) if args.system is None else ChatSettings(args.system.strip() or None, **numbers)


def _text(prompt: bytes) -> str:
    try:
        return prompt.decode()
    except UnicodeDecodeError:
        raise BadInput("The prompt is not UTF-8 text.") from None


async def _ask(
    run: RunDirectory,
    prompt: str,
    settings: ChatSettings,
    *,
    adapter: bool,
    timeout: float,
    in_trainer: bool = False,
) -> int:
    """Print the answer on stdout as it comes. Until it begins, stderr shows what the worker does, or what the answer of
    the trainer waits for."""
    import asyncio
    from contextlib import ExitStack

    from msgspec import UNSET

    from codex_tui.base.progress import Progress
    from codex_tui.base.text import clean
    from codex_tui.commands.chat_way import talk_to_trainer
    from codex_tui.commands.progress import print_progress
    from codex_tui.workers.client import AnyWorker
    from codex_tui.workers.process import Worker, describe_unused_python, find_python_for
    from training.contract.chat_messages import (
        CHAT,
        AnswerBegin,
        AnswerEnd,
        ChatAnswer,
        ChatReady,
        ChatRequest,
        ChatTurn,
        Token,
    )
    from training.contract.messages import Loading, WorkerError

    # A pipe gets the answer unchanged; control characters must not reach a terminal.
    shown = (lambda text: clean(text, newlines=True)) if sys.stdout.isatty() else str
    if not in_trainer and (notice := describe_unused_python(run)):
        print(clean(notice), file=sys.stderr)
    until_answer = ExitStack()
    report = until_answer.enter_context(print_progress())
    report(Progress("asking the trainer" if in_trainer else "starting the worker that answers"))
    worker: AnyWorker[ChatRequest, ChatAnswer] | None = None

    def notify(text: str) -> None:
        nonlocal report
        until_answer.close()
        print(text, file=sys.stderr)
        report = until_answer.enter_context(print_progress())
        report(Progress(WAITING))

    try:
        if in_trainer:
            worker = talk_to_trainer(run)
        else:
            python = await asyncio.to_thread(find_python_for, run)
            worker = await Worker.start(python, CHAT, run.path, silence_limit=timeout)
        async for answer in worker:
            match answer:
                case Loading():
                    report(Progress(answer.detail))
                case ChatReady() if adapter and not answer.has_adapter:
                    raise _no_adapter(run)
                case ChatReady():
                    if sys.stderr.isatty() and settings.system_prompt is UNSET and answer.form.system_prompt:
                        notify(f"System message: {clean(answer.form.system_prompt)}")
                    report(Progress(WAITING))
                    turn = ChatTurn(role="user", content=prompt)
                    await worker.send(settings.make_request(1, [turn], adapter=adapter))
                case AnswerBegin() if answer.left_out:
                    left_out = f"The first {answer.left_out:,} tokens of the text do not fit into the model's context"
                    notify(f"{left_out}. They are left out.")
                case Token():
                    until_answer.close()
                    print(shown(answer.text), end="", flush=True)
                case AnswerEnd():
                    until_answer.close()
                    print()
                    return DONE
                case WorkerError():
                    raise CodexError(answer.message, answer.hint)
        raise CodexError("The chat worker ended without an answer.", worker.last_lines())
    finally:
        until_answer.close()
        if worker is not None:
            await worker.close()
