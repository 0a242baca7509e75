"""The command `tell`: sends the notices of a run that nobody has sent yet. The keeper of a run starts it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, BadInput, CodexError

if TYPE_CHECKING:
    from codex_tui.base.settings import Settings
    from codex_tui.runs.announcements import Announcement
    from training.contract.run_directory import RunDirectory

LOOK_EVERY, SETTLE_SECONDS = 0.25, 5.0
GRACE_SECONDS = 15  # after the time limit of the notices; then the kernel ends this process


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "tell",
        help="send a test notice to your command and your webhooks",
        description="With --test, sends a test notice with the notify command and to each webhook of the settings, "
        "and prints what became of it. With RUN, sends what is new of a run and has not been sent yet, and prints what "
        "was sent: the run itself starts this, so that you are told when no app is open.",
        epilog="Example: codex-tui tell --test",
    )
    parser.add_argument("target", metavar="RUN", nargs="?", help="a run: its name, the start of its name, or its path")
    parser.add_argument("--test", action="store_true", help="send a test notice")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_tell)


def run_tell(args: argparse.Namespace) -> int:
    from codex_tui.base import settings
    from codex_tui.runs import notices

    if bool(args.target) == args.test:
        raise BadInput("tell needs either RUN or --test.", "Send a test notice: codex-tui tell --test")
    if args.test:
        return _test(settings.load(), args.json)
    signal.alarm(int(notices.MAX_SECONDS) + GRACE_SECONDS)  # nobody waits for this process
    try:
        return _tell(args.target, args.json)
    finally:
        signal.alarm(0)


def _tell(target: str, as_json: bool) -> int:
    from codex_tui.base import notice_log, settings
    from codex_tui.base.text import clean
    from codex_tui.runs import notices

    run = _find_run(target)
    announcements = _find_untold(run)
    signal.alarm(len(announcements) * int(notices.MAX_SECONDS) + GRACE_SECONDS)
    try:
        preferences = settings.load()
    except BadInput as error:
        if announcements:
            notice_log.append(clean(error.message))
        raise
    wanted = [announcement for announcement in announcements if notices.is_wanted(announcement, preferences)]
    problems: list[str] = []
    for announcement in announcements:
        failures = notices.send(announcement, preferences) if announcement in wanted else []
        problems += failures
        if not failures and not as_json:
            print(clean(_describe(announcement, preferences, is_sent=announcement in wanted)))
    if as_json:
        events = [announcement.event for announcement in wanted]
        print(json.dumps({"ok": not problems, "events": events, "problems": problems}, indent=2))
    elif problems:
        raise CodexError(" ".join(problems))
    elif not announcements:
        print(f"There is nothing new to tell of {clean(run.name)}.")
    return FAILED if problems else DONE


def _find_run(target: str) -> RunDirectory:
    """Find the run by its name, or by its path, which the keeper gives. Raises BadInput if there is none."""
    from codex_tui.runs.library import find_run, is_run
    from training.contract.run_directory import RunDirectory

    if "/" not in target:
        return find_run(target)
    run = RunDirectory(Path(target).absolute())
    if not is_run(str(run.path)):
        raise BadInput(f"{run.path} is no run.", "List the runs: codex-tui runs")
    return run


def _describe(announcement: Announcement, preferences: Settings, *, is_sent: bool) -> str:
    """Say in a sentence where the notice of `announcement` went, or why it was not sent."""
    channels = [hook.name for hook in preferences.webhooks]
    channels += ["the notify command"] if preferences.notify_command else []
    if is_sent:
        return f"Sent to {' and '.join(channels)}: {announcement.title}."
    reason = "notify.events leaves it out" if channels else "there is no notify command and no webhook"
    return f"Not sent, because {reason}: {announcement.title}."


def _find_untold(run: RunDirectory) -> list[Announcement]:
    """Look at the run. The keeper starts this command right before a change is in the files: if there is nothing new,
    look again for a few seconds."""
    from codex_tui.runs.announcements import find_untold
    from codex_tui.runs.follower import RunFollower

    deadline = time.monotonic() + SETTLE_SECONDS
    follower = RunFollower(run, check_every=0.0)
    while True:
        untold = find_untold(run, follower.snapshot())
        if untold or follower.watched.ended or time.monotonic() > deadline:
            return untold
        time.sleep(LOOK_EVERY)


def _test(preferences: Settings, as_json: bool) -> int:
    from codex_tui.base import notify
    from codex_tui.base.text import clean
    from codex_tui.base.webhooks import Notice, Webhook

    if not preferences.webhooks and not preferences.notify_command:
        raise BadInput(
            "Nothing is set that could tell you: there is no notify command and no webhook.",
            "Name one: codex-tui config webhook.phone.kind ntfy, then codex-tui config webhook.phone.url_env VARIABLE",
        )
    title, message = "Codex TUI", "This is a test. Notices of your runs will look like this."
    answers: list[dict[str, Any]] = []

    def report(name: str, ok: bool, text: str) -> None:
        answers.append({"name": name, "ok": ok, "said": text})
        if not as_json:
            print(clean(f"{'✓' if ok else '✗'} {text}"), flush=True)

    for hook in preferences.webhooks:
        try:
            webhook = Webhook.from_settings(hook)
            reply = webhook.send(Notice(title, message), _make_wait(str(webhook), as_json))
            report(hook.name, True, f"{webhook} took the notice. It said {reply}")
        except CodexError as error:
            report(hook.name, False, " ".join(filter(None, (error.message, error.hint))))
    if preferences.notify_command:
        facts = {"event": "test", "run": "test", "directory": "", "title": title, "message": message}
        facts |= {"step": "0", "total_steps": "", "eval_loss": "", "adapter": ""}
        problem = notify.run_command(preferences.notify_command, facts)
        report("command", not problem, problem or f"The notify command ran: {preferences.notify_command[0]}")
    ok = all(answer["ok"] for answer in answers)
    if as_json:
        print(json.dumps({"ok": ok, "sent": answers}, indent=2))
    return DONE if ok else FAILED


def _make_wait(label: str, quiet: bool) -> Callable[[float], None]:
    def wait(seconds: float) -> None:
        if not quiet:
            print(f"  {label} can't take it now; tried again in {seconds:.0f} s", file=sys.stderr, flush=True)
        time.sleep(seconds)

    return wait
