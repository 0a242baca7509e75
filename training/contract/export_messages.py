"""The messages between the app and the export worker. See `training.contract.messages`.

The app sends DescribeBase, and the worker answers with BaseDescribed. The app sends Merge, and the worker answers with
Merging for each tensor, then Merged. The app sends ListProofQuestions, and the worker answers with ProofQuestions. The
app sends AskMerged, and the worker answers with an Asked for each question, then AskEnd.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from training.contract.event_base import Count
from training.contract.judgement import Answer, Loss, Question
from training.contract.messages import Loading, Message, NewTokens, WorkerError, WorkerProtocol

Dtype = Literal["bfloat16", "float16", "float32"]

QuestionSource = Literal["held-out", "book", "training"]
"""Where the questions of a proof come from."""

BaseChoice = Literal["trained", "original"]
"""Which weights get the adapter, where the run loaded them in 4 bits: the 4-bit weights that the adapter was trained
on, or the original ones in 16 bits."""


class DescribeBase(Message, tag="describe"):
    """Asks what a merge would write. `base` is the folder of the model, or the name of the demo model. `dtype` is the
    number type of the result; None: that of the run. The worker reads only the names and sizes of the tensors."""

    base: str
    choice: BaseChoice
    dtype: Dtype | None = None


class Merge(Message, tag="merge"):
    """Asks for the merged model in the empty folder `folder`."""

    base: str
    choice: BaseChoice
    folder: str
    dtype: Dtype | None = None


class ProofQuestion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A question of a proof, as the run asks it.

    `messages` begin with the run's system message, if it has one. A run that learned plain text continues `text`
    instead. `prompt_ids` are the tokens of the prompt, and `reference_ids` those of the right answer with its end
    token, as in the training. `as_trained`: a row of the training has the same prompt, token by token.
    """

    question: Question
    messages: list[dict[str, Any]]
    text: str | None = None
    prompt_ids: list[Count]
    reference_ids: list[Count] = []
    as_trained: bool = False


class ListProofQuestions(Message, tag="questions"):
    """Asks for questions: from the held-out rows of the run; where there are none `book`; else from training rows."""

    book: list[Question] | None = None
    max_questions: Count = 30


class AskMerged(Message, tag="ask"):
    """Asks the merged model in `folder`, with its own tokenizer, template and end tokens."""

    folder: str
    questions: list[ProofQuestion]
    max_new_tokens: NewTokens


class ProofQuestions(Message, tag="list"):
    questions: list[ProofQuestion]
    source: QuestionSource


class Exported(msgspec.Struct, kw_only=True):
    """What an exported model made of a question: the tokens of the prompt that its own template gives, its likeliest
    answer to that prompt, and the loss of `reference_ids` after it (None: it can't be measured)."""

    prompt_ids: list[Count]
    answer: Answer
    loss: Loss | None = None


class Asked(Message, tag="asked"):
    more_follows = True
    index: Count
    exported: Exported


class AskEnd(Message, tag="end"):
    """Everything was answered."""


class BaseDescribed(Message, tag="base"):
    """A merge that can be done. `fingerprint` changes with the files of the base, `size` counts the bytes of the merged
    weights, `adapted` the tensors that the adapter changes. `quantised`: the weights have 4 bits."""

    fingerprint: str
    size: Count
    tensors: Count
    adapted: Count
    parameters: Count
    dtype: str
    quantised: bool


class Merging(Message, tag="merging"):
    more_follows = True
    done: Count
    total: Count


class Merged(Message, tag="merged"):
    """The model is in its folder. `untied`: the adapter changes only one of two embeddings that the base shares, so
    the merged model has both."""

    files: list[str]
    untied: bool = False


ExportRequest = DescribeBase | Merge | ListProofQuestions | AskMerged
ExportAnswer = Loading | BaseDescribed | Merging | Merged | ProofQuestions | Asked | AskEnd | WorkerError

EXPORT: WorkerProtocol[ExportRequest, ExportAnswer] = WorkerProtocol("export", ExportRequest, ExportAnswer)
