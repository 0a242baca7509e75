"""The judge model: both orders, what the verdicts add up to, and the command with a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.config_file import write_config
from support.fake_runs import make_run
from support.judge_screen import JudgeWorker
from support.judge_server import KEY, JudgeServer, Reply, prefer, serve
from support.judged import judge_pairs, make_judgement

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.judge import judge_model
from codex_tui.judge.conclusions import describe_verdicts, draw_conclusions
from codex_tui.judge.endpoint import Endpoint
from codex_tui.judge.journal import NAME
from codex_tui.judge.judge_model import add_up, keep_verdicts, make_prompt, read_choice
from training.contract import events as ev
from training.contract import judgement_file
from training.contract.run_directory import RunDirectory
from training.contract.verdicts import Verdict

ENDPOINT = Endpoint("https://judge.example.com/v1", "large-1")


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("VERDICT: A", "adapter"),
        ("Verdict: **B**.", "other"),
        ("**VERDICT:** TIE", "tie"),
        ("At first VERDICT: A, but then\nVERDICT: B", "other"),
        ("<think>VERDICT: A</think>\n\nVERDICT: B", "other"),
        (" a.\n", "adapter"),
        ("tie", "tie"),
        ("Both are fine.", None),
        ("VERDICT: Ambiguous", None),
        ("", None),
    ],
)
def test_the_verdict_of_a_reply(reply: str, choice: str | None) -> None:
    assert read_choice(reply, adapter_first=True) == choice
    swapped = {"adapter": "other", "other": "adapter"}
    assert read_choice(reply, adapter_first=False) == swapped.get(choice or "", choice)


def test_the_prompt_has_both_answers_in_the_order_that_is_asked() -> None:
    [judged] = judge_pairs([(True, False)])
    prompts = [make_prompt(judged, adapter_first=first) for first in (True, False)]
    assert prompts[0] == (
        "<question>\nuser: Question 0?\n</question>\n\n<reference>\nright\n</reference>\n\n"
        "<answer_A>\nright\n</answer_A>\n\n<answer_B>\nwrong\n</answer_B>"
    )
    assert prompts[1].endswith("<answer_A>\nwrong\n</answer_A>\n\n<answer_B>\nright\n</answer_B>")


def test_verdicts_are_added_up_and_compared_with_the_conditions() -> None:
    judged = judge_pairs([(True, False)] * 6 + [(False, True), (True, True), (None, None), (True, False)])
    verdicts = [
        *[Verdict(adapter_first="adapter", adapter_second="adapter")] * 5,  # as the conditions say
        Verdict(adapter_first="adapter", adapter_second="other"),  # the first one each time: a tie
        Verdict(adapter_first="adapter", adapter_second="adapter"),  # against the conditions
        Verdict(adapter_first="tie", adapter_second="tie"),
        Verdict(adapter_first="adapter", adapter_second="adapter"),  # there are no conditions
        Verdict(adapter_first="adapter"),
    ]
    marked = [msgspec.structs.replace(one, verdict=v) for one, v in zip(judged, verdicts, strict=True)]
    result = add_up(marked, ENDPOINT)
    assert (result.wins, result.losses, result.ties, result.disagreed, result.no_verdict) == (7, 0, 2, 1, 1)
    assert result.p == pytest.approx(2 / 2**7)
    assert (result.compared, result.agreed, result.decided, result.decided_agreed) == (8, 6, 7, 5)
    judgement = make_judgement(marked)
    judgement.judge_model = result
    assert (
        "The judge model large-1 prefers the adapter at 7 questions, base at 0 (2 ties): the adapter is better."
        in draw_conclusions(judgement)
    )
    assert list(describe_verdicts(result)) == [
        "Sign test of the judge model large-1 at judge.example.com: p = 0.016. At 1 of 2 ties, only the order of the "
        "answers decided. 1 question got no verdict.",
        "It agrees with the book's conditions at 6 of 8 questions; where exactly one answer passes, at 5 of 7.",
    ]
    again = make_judgement(judged)
    keep_verdicts(again, judgement)
    assert (again.judge_model, again.answers) == (result, marked)
    other = make_judgement(judge_pairs([(False, False)] * 10))
    keep_verdicts(other, judgement)
    assert other.judge_model is None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run whose adapter gives the reference to each question, and whose base something else."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    monkeypatch.setenv("JUDGE_KEY", KEY)
    kind = type("Judges", (JudgeWorker,), {"started": []})
    monkeypatch.setattr("codex_tui.workers.talk.Worker", kind)
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda: Path("/usr/bin/python3"))
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    write_config(run, {"profile": {"model": {"name": "org/model"}}, "dataset": "rows.jsonl"})
    return run


@pytest.fixture
def server(run: RunDirectory) -> Iterator[JudgeServer]:
    with serve(prefer("loading dock")) as server:
        write_settings(server.url)
        yield server


def write_settings(url: str, **values: str) -> Path:
    path = locations.settings_file()
    path.parent.mkdir(exist_ok=True)
    values = {"url": url, "model": "large-1", "key_env": "JUDGE_KEY"} | values
    lines = [f'{name} = "{value}"\n' for name, value in values.items() if value]
    path.write_text("[judge_model]\n" + "".join(lines))
    path.chmod(0o600)
    return path


def judge(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> Any:
    """Run the command as a person does, and look for the key in everything that it writes."""
    assert main(["judge", "a", *options]) == code
    shown = capsys.readouterr()
    written = b"".join(path.read_bytes() for path in locations.runs_home().rglob("*") if path.is_file())
    assert KEY not in shown.out + shown.err + written.decode()
    return (json.loads(shown.out) if "--json" in options else shown.out) if not code else shown.err


def test_the_command_asks_in_both_orders_and_reports(server: JudgeServer, capsys: pytest.CaptureFixture[str]) -> None:
    told = judge(capsys, "--judge-model", "--json")["judge_model"]
    counts = [told[name] for name in ("wins", "losses", "ties", "no_verdict", "compared", "agreed", "decided_agreed")]
    assert (told["model"], told["endpoint"]) == ("large-1", server.url[7:-3])
    assert counts == [8, 0, 0, 0, 8, 8, 8]
    assert len(server.requests) == 16
    assert {*server.keys} == {f"Bearer {KEY}"}
    prompts = [request["messages"][1]["content"] for request in server.requests]
    first = [bool(re.search(r"<answer_A>\nHold the loading dock", prompt)) for prompt in prompts]
    assert first == [True, False] * 8
    shown = judge(capsys, "--judge-model")
    assert "The judge model large-1 prefers the adapter at 8 questions, base at 0 (0 ties): the adapter is" in shown
    assert "It agrees with the book's conditions at 8 of 8 questions" in shown
    again = judge(capsys, "--json")["judge_model"]
    assert again | {"created": 0} == told | {"created": 0}  # neither asked again nor lost
    assert len(server.requests) == 16


def test_what_is_sent_is_said_first(server: JudgeServer, capsys: pytest.CaptureFixture[str]) -> None:
    judge(capsys)
    assert not server.requests  # nothing leaves the machine unasked
    assert main(["judge", "a", "--judge-model"]) == 0
    host = server.url[7:-3]
    sentence = f"The questions, their references and all answers are sent to {host}, where large-1 compares them."
    assert sentence in capsys.readouterr().err


def test_a_judge_that_always_prefers_the_first_answer_gives_ties(
    server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda *_: Reply("VERDICT: A")
    told = judge(capsys, "--judge-model", "--json")["judge_model"]
    assert [told[name] for name in ("wins", "losses", "ties", "disagreed", "agreed")] == [0, 0, 8, 8, 0]


def test_replies_without_a_verdict_are_counted_and_kept(
    server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    good = server.answer
    server.answer = lambda body, number: Reply("Hm.") if number < 4 else good(body, number)
    told = judge(capsys, "--judge-model", "--json")["judge_model"]
    assert (told["wins"], told["no_verdict"]) == (6, 2)
    judge(capsys, "--judge-model")
    assert len(server.requests) == 16  # at a temperature of 0 the same reply would come again


def test_a_failure_keeps_the_verdicts_and_the_same_command_goes_on(
    server: JudgeServer, capsys: pytest.CaptureFixture[str], run: RunDirectory
) -> None:
    good = server.answer
    server.answer = lambda body, number: Reply(f"Key {KEY} expired.", 401) if number == 5 else good(body, number)
    shown = judge(capsys, "--judge-model", code=1)
    assert "refused the key (401). It says: Key … expired." in shown
    assert judgement_file.read(run.judgements / "held-out.json").judge_model is None  # the judgement itself is there
    server.answer = lambda body, number: Reply(body=b"<html>") if number == 8 else good(body, number)
    told = judge(capsys, "--judge-model", "--json")["judge_model"]
    assert (told["wins"], told["no_verdict"]) == (7, 1)  # one malformed reply is no reason to stop
    server.answer = good
    assert judge(capsys, "--judge-model", "--json")["judge_model"]["wins"] == 8  # it is asked again
    assert len(server.requests) == 16 + 2


@pytest.mark.parametrize("reply", [Reply(body=b"<html>"), Reply(hangs=True)])
def test_a_dead_server_is_given_up_after_three_requests(
    server: JudgeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setattr("codex_tui.judge.endpoint.TIMEOUT_SECONDS", 0.3)
    server.answer = lambda *_: reply
    shown = judge(capsys, "--judge-model", code=1)
    assert re.search(r"The judge model at 127\.0\.0\.1:\d+ does not answer: (no|a) reply .*, 3 times in a row\.", shown)
    assert "The verdicts so far are kept: the same command goes on from here." in shown
    assert len(server.requests) == judge_model.MAX_FAILURES


def test_settings_that_are_missing_or_unsafe(
    server: JudgeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: RunDirectory
) -> None:
    fail: Callable[[], str] = lambda: judge(capsys, "--judge-model", code=2)  # noqa: E731
    path = write_settings(server.url, key_env="", key=KEY)
    path.chmod(0o644)
    assert f"{path} has a key, and other users may read it.\nRun: chmod 600 {path}" in fail()
    path.chmod(0o600)
    judge(capsys, "--judge-model")
    assert server.keys[0] == f"Bearer {KEY}"
    write_settings(server.url)
    monkeypatch.setenv("JUDGE_KEY", f"{KEY}\n{KEY}")
    assert "The key in JUDGE_KEY has a space or a letter that no key has." in fail()
    monkeypatch.delenv("JUDGE_KEY")
    assert "The environment variable JUDGE_KEY is empty." in fail()
    write_settings(server.url, model="")
    assert "No judge model is set: judge_model.model is missing." in fail()
    path.unlink()
    assert "codex-tui config judge_model.url https://HOST/v1" in fail()
    journal = (run.judgements / NAME).read_text()
    assert "choice" in journal
