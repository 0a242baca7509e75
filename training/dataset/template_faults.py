"""What a chat template takes away from the answers of a dataset, and what that means for the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass
class TemplateFaults:
    """Numbers of answers: whose reasoning the template leaves out; that have no end-of-turn token; and that lack the
    text with which the template begins an answer in a chat."""

    reasoning_lost: int = 0
    endless: int = 0
    unlike_chat: int = 0

    def add(self, other: TemplateFaults) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def explain(self) -> Iterator[tuple[str, str]]:
        """Yield what the model does not learn, each with a remedy."""
        if self.reasoning_lost:
            yield (
                f"The model's chat template leaves out the reasoning of {_count(self.reasoning_lost)}: the model does "
                "not learn to reason like this.",
                "Choose a model whose template keeps the reasoning (model.name), or remove it from the rows.",
            )
        if self.unlike_chat:
            yield (
                "In a chat, the model's chat template begins each answer with a text such as <think>. "
                f"{_count(self.unlike_chat)} {'is' if self.unlike_chat == 1 else 'are'} learned without it, so the "
                "chat may differ from what was learned.",
                "Choose a model with another chat template (model.name).",
            )
        if self.endless:
            yield (
                f"The model's chat template writes no end-of-turn token after {_count(self.endless)}: the model does "
                "not learn to stop.",
                "Choose a model with another chat template (model.name).",
            )


def _count(answers: int) -> str:
    return f"{answers:,} answer{'' if answers == 1 else 's'}"
