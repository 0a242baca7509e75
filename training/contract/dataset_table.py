"""The table `[dataset]` of a profile: the rows, and what is learned from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from training.contract.tables import Table, field

Column = Annotated[str, Field(min_length=1)] | None


class Dataset(Table):
    """The rows, and how many of them are held out."""

    path: str | None = field(
        None,
        "The dataset: a JSONL, JSON, CSV or Parquet file, a folder of them, or a pattern (data/*.jsonl), relative "
        'to the profile; "owner/name" on the Hub; or the shipped sample "demo:zombie-waves". Unset: the launch '
        "asks for it.",
    )
    revision: str | None = field(
        None, "A branch, tag or commit of a dataset on the Hub, so that it does not change under you. Costs nothing. "
        "Unset: the newest.",
    )  # fmt: skip
    config: Column = field(
        None,
        "The configuration of a dataset on the Hub, as its page names it, or one of its folders. Costs nothing. Unset: "
        "the repository's default.",
    )
    split: Column = field(
        None,
        "The split to train on, by its name in the names of the files and folders or on the Hub. Unset: train, or the "
        "files that belong to no split.",
    )
    eval_path: Column = field(
        None,
        "A file, a folder or a pattern, relative to the profile, whose rows are the evaluation set. They are not "
        "trained on. Unset: the dataset's validation split; without one, eval_fraction of the rows.",
    )
    instruction_column: Column = field(
        None, "The column with the question. Unset: instruction, question, query or prompt."
    )
    response_column: Column = field(
        None,
        "The column with the answer, which is what the model learns. Unset: response, output, completion or answer.",
    )
    context_column: Column = field(
        None, "A column that is appended to the question. Unset: input or context, if there is one."
    )
    system_column: Column = field(None, "A column with a system message for each row. Unset: system, if there is one.")
    messages_column: Column = field(
        None, "The column with whole conversations, in OpenAI's or ShareGPT's form. Unset: messages or conversations."
    )
    text_column: Column = field(
        None,
        "A column of plain text. All of it is learned, without a chat template. Unset: text, if no column holds a "
        "question.",
    )
    learn: Literal["all_answers", "last_answer"] = field(
        "all_answers",
        "Which answers of a conversation are learned: all of them, or only the last one. Each answer is learned as the "
        "model gives it. If the chat template changes earlier answers (Qwen3 removes their reasoning), a conversation "
        "becomes several sequences, which costs time. A message with weight 0 or train = false is never learned.",
    )
    eval_fraction: Annotated[float, Field(ge=0, lt=1)] = field(
        0.05,
        "The share of rows held out for the evaluation loss, which shows whether the model learns or only "
        "memorises. 0 trains on all rows and shows nothing.",
    )
    max_eval_rows: Annotated[int, Field(ge=1)] = field(
        200,
        "Largest number of evaluation rows. Every evaluation reads all of them: it costs time, not memory.",
        unit="rows",
    )
    system_prompt: str | None = field(
        None,
        "Put before every row that has no system message. Sets a tone; adds its tokens to every row. Use the same "
        "prompt when you use the model.",
    )
    on_bad_rows: Literal["refuse", "skip"] = field(
        "refuse",
        '"refuse" lists the bad rows and does not start; "skip" trains on the other rows and says how many it skipped.',
    )
    long_rows: Literal["cut", "drop", "refuse"] = field(
        "cut",
        'What happens to rows longer than max_seq_length: "cut" learns the answers, or parts of them, up to the cut; '
        '"drop" leaves these rows out, so that the model never learns an answer without its end; "refuse" does not '
        "start the run.",
    )
