"""What a judge model, a large model behind an OpenAI-compatible endpoint, says about the answers of a judgement."""

from __future__ import annotations

from typing import Literal

import msgspec

from training.contract.event_base import Count, Finite

Choice = Literal["adapter", "other", "tie"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The better answer to one question, asked twice: with the adapter's answer first, and with it second. None: the
    judge model gave no verdict."""

    adapter_first: Choice | None = None
    adapter_second: Choice | None = None

    @property
    def choice(self) -> Choice | None:
        """The verdict of both: a tie if they disagree, since then the order decided."""
        if self.adapter_first is None or self.adapter_second is None:
            return None
        return self.adapter_first if self.adapter_first == self.adapter_second else "tie"

    @property
    def disagrees(self) -> bool:
        return self.choice is not None and self.adapter_first != self.adapter_second


class JudgeModelResult(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts of all questions. `endpoint` is the server's name, `p` that of the exact sign test.

    `disagreed` counts the ties where only the order of the answers decided, `no_verdict` the questions without one.
    Of the `compared` questions that have conditions, `agreed` counts those where the conditions say the same. Of these,
    `decided` counts the questions where exactly one answer passes, and `decided_agreed` those with the same verdict.
    """

    model: str
    endpoint: str
    created: float
    wins: Count
    losses: Count
    ties: Count
    disagreed: Count
    no_verdict: Count
    p: Finite
    compared: Count = 0
    agreed: Count = 0
    decided: Count = 0
    decided_agreed: Count = 0
