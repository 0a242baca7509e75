"""Broken and hostile question books, and files of judgements in a run that was copied from anywhere."""

from __future__ import annotations

import json

import msgspec

from codex_tui.data.target import Target
from codex_tui.data.xray import read_xray
from codex_tui.hub.adapter import make_card
from codex_tui.judge.endpoint import Endpoint
from codex_tui.judge.journal import NAME, Entry, Journal
from codex_tui.judge.judge_model import add_up
from codex_tui.judge.plan import read_side
from codex_tui.judge.row_losses import read_measured
from codex_tui.runs.follower import snapshot
from codex_tui.runs.measured_rows import NAME as ROWS
from codex_tui.runs.measured_rows import VERSION, RowsHeader
from codex_tui.ui.cockpit.banner import explain_outcome
from support.fuzz.checks import CONTROL, NOWHERE, FuzzSession, TryInput
from support.fuzz.mutate import Mutator
from support.fuzz.runs import make_run
from support.judged import judge_pairs, make_judgement
from training.contract.inspect_messages import RenderedRow, RenderedSequence
from training.contract.judge_messages import RowMeasured
from training.contract.judgement import Answer, Loss
from training.contract.judgement_file import JudgementError, read
from training.contract.verdicts import Verdict
from training.dataset.book import DEMO_BOOK_FILE
from training.dataset.index import RowIndex


def fuzz_judge(session: FuzzSession) -> TryInput:
    run = make_run(session.home)
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    run.judgements.mkdir()
    side = read_side(run)
    book = [json.loads(line) for line in DEMO_BOOK_FILE.read_text().splitlines()[::6]]
    judged = make_judgement(judge_pairs([(True, False)] * 8, tag="boss", known="near"))
    judged.adapter, judged.conclusions = side.model, ["40 questions: better."]
    verdict = Verdict(adapter_first="adapter", adapter_second="other")
    judged.answers = [msgspec.structs.replace(one, verdict=verdict) for one in judged.answers]
    judged.judge_model = add_up(judged.answers, Endpoint("https://judge.example.com/v1", "large-1"))
    valid = msgspec.to_builtins(judged)
    entries = [Entry(key=str(n), answer=Answer(text="Yes.", tokens=2, ended="eos")) for n in range(4)]
    header = RowsHeader(version=VERSION, adapter=side.model.sha256, dataset="0" * 64)
    loss = Loss(total=1.5, tokens=3)
    rows = [
        RowMeasured(position=n, total=4, file="", line=n + 1, held_out=False, question="?", answer="!", adapter=loss,
                    base=loss, adapter_tokens=[[50, 50, 50]], base_tokens=[[50, 50, 50]])
        for n in range(4)
    ]  # fmt: skip
    lines = [msgspec.to_builtins(value) for value in (header, *rows)]
    target = Target.from_run(run)
    index = RowIndex.open(target.source, session.home / "cache")
    sequence = RenderedSequence(segments=[], tokens=9, spans=[(6, 9)], learned_tokens=3)
    rendered = RenderedRow(index=0, line=1, max_seq_length=128, sequences=[sequence])

    def try_one(mutate: Mutator) -> None:
        file = session.home / "book.jsonl"
        file.write_bytes(mutate.json_lines(book))
        (run.judgements / "book.json").write_bytes(mutate.json(valid))
        (run.judgements / NAME).write_bytes(mutate.json_lines([msgspec.to_builtins(entry) for entry in entries]))
        (run.judgements / ROWS).write_bytes(mutate.json_lines(lines))
        with session.expect_unchanged("cache"):
            session.run_command("judge", run.name, "--book", file, "--python", NOWHERE, allowed=(2, 3))
            session.run_command("runs", "--json")
            with session.expect_no_crash("the judgement", JudgementError):
                read(run.judgements / "book.json")
            with session.expect_no_crash("the banner and the card"):
                for line in explain_outcome(run, snapshot(run)):
                    assert not CONTROL.search(line.plain)
                assert "\x1b" not in make_card(run)("", run.name, ".")
            with session.expect_no_crash("the journal"):
                Journal(run)
            with session.expect_no_crash("the rows"):
                read_measured(side)
                xray = read_xray(run, target.source, index, lambda: False)
                for row in xray.worst if xray else ():
                    assert xray
                    for tokens in xray.read_tokens(row, rendered, target.settings) or ():
                        assert all(0 <= token.probability <= 1 for token in tokens)

    return try_one
