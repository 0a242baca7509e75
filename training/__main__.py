"""`python -m training RUN | attempt RUN | heal RUN | chat RUN | judge RUN | export RUN | gguf FOLDER |
inspect RUN_OR_CONFIG | jsonl FILE COPY | template CONFIG FOLDER`. Each command imports only what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

from training.contract.run_directory import RunDirectory

USAGE = (
    "usage: python -m training RUN | attempt RUN | heal RUN | chat RUN | judge RUN | export RUN | gguf FOLDER | "
    "inspect RUN_OR_CONFIG | jsonl FILE COPY | template CONFIG FOLDER"
)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["chat", run]:
            from training.workers import chat

            return chat.serve(Path(run).absolute())
        case ["judge", run]:
            from training.judge import worker

            return worker.serve(Path(run).absolute())
        case ["export", run]:
            from training.export import worker as export_worker

            return export_worker.serve(Path(run).absolute())
        case ["gguf", folder]:
            from training.export import gguf_worker

            return gguf_worker.serve(Path(folder).absolute())
        case ["inspect", target]:
            from training.workers import inspect

            return inspect.serve(Path(target).absolute())
        case ["jsonl", path, copy]:
            from training.workers import jsonl

            return jsonl.write(Path(path).absolute(), Path(copy).absolute())
        case ["template", config, folder]:
            from training.workers import tokenizer

            return tokenizer.write(Path(config).absolute(), Path(folder).absolute())
        case ["tokens", run]:  # the trainer starts it
            from training.job import token_helper

            return token_helper.write(Path(run).absolute())
        case ["heal", run]:
            from training.keeper import heal

            return heal.print_decision(RunDirectory(Path(run).absolute()))
        case ["rank", run]:  # torchrun starts it; see training.finetune.torchrun
            from training.finetune.entry import train_rank

            return train_rank(Path(run).absolute())
        case ["node", run]:  # srun starts it; see training.finetune.other_nodes
            from training.finetune.other_node import join

            return join(Path(run).absolute())
        case ["attempt", run]:
            from training.finetune.entry import train

            return train(Path(run).absolute())
        case [run] if not run.startswith("-"):
            from training.keeper.keeper import keep

            directory = Path(run).absolute()
            if not (directory / "config.json").is_file():
                print(f"{directory} is not a run directory: it has no config.json.", file=sys.stderr)  # noqa: T201
                return 1
            return keep(directory)
    print(USAGE, file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
