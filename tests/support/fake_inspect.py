"""The inspect worker in the same process, with words for tokens: what it says depends on nothing but the rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from training.contract.config import RunConfig
from training.dataset import kept, lengths, scan
from training.dataset.index import RowIndex
from training.dataset.records import BadRow
from training.dataset.shapes import Columns, Row, row_of
from training.dataset.source import of_config


class WordWorker:
    """Answers like `python -m training inspect`. `holds_back`: it counts no tokens before `go_on` is called."""

    started: list[WordWorker] = []
    holds_back = False

    def __init__(self, path: Path) -> None:
        self.closed = False
        self.sent: list[dict[str, Any]] = []
        config, self.profile = RunConfig.read_with_profile(path)
        self._columns = Columns.of(self.profile.dataset)
        self._cache = locations.cache_home()
        self._index = RowIndex.open(of_config(config), self._cache)
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._say(type="ready", rows=len(self._index), scan=None, why="", hint="")

    @classmethod
    async def start(cls, python: Path, arguments: list[str]) -> WordWorker:
        target = Path(arguments[1])
        cls.started.append(cls(target / "config.json" if target.is_dir() else target))
        return cls.started[-1]

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if message["type"] == "row":
            self._say(**self._row(message))
        elif message["type"] == "cancel":
            self._say(type="cancelled")
        elif self.holds_back:
            self._say(type="progress", what="tokenising", done=25, total=100)
        else:
            self.go_on()

    def go_on(self) -> None:
        found = scan.scan(self._index, self._columns, self.profile)
        assert found is not None
        counted = lengths.Lengths()
        for row in found.good():
            given, learned = _words(row_of(self._index.record(row), self._columns))
            counted.add(len(given) + len(learned), len(given))
        places = [kept.cache_path(self._cache, kind, str(self._index.source.files)) for kind in ("scan", "lengths")]
        scan.save(places[0], found)
        lengths.save(places[1], counted)
        self._say(type="digest", scan=str(places[0]), lengths=str(places[1]), cached=False, why="", hint="")

    def _row(self, asked: dict[str, Any]) -> dict[str, Any]:
        record = self._index.record(asked["index"])
        limit = asked.get("max_seq_length") or self.profile.model.max_seq_length
        said = {"type": "row", "index": asked["index"], "line": record.line, "raw": record.raw, "max_seq_length": limit}
        try:
            given, learned = _words(row_of(record, self._columns))
        except BadRow as problem:
            return {**said, "problem": str(problem), "segments": [], "tokens": None, "split": "bad"}
        tagged = [(word, place >= len(given), place >= limit) for place, word in enumerate(given + learned)]
        segments: list[dict[str, Any]] = []
        for word, is_learned, cut in tagged:
            if not segments or (segments[-1]["learned"], segments[-1]["cut"]) != (is_learned, cut):
                segments.append({"text": "", "learned": is_learned, "cut": cut})
            segments[-1]["text"] += word
        learned_tokens = sum(is_learned and not cut for _, is_learned, cut in tagged)
        return {
            **said, "problem": "", "shape": "instruction", "segments": segments, "tokens": len(tagged),
            "start": len(given), "learned_tokens": learned_tokens, "truncated": len(tagged) > limit,
            "split": "train" if learned_tokens else "dropped",
            **({"ids": [[place, word] for place, (word, *_) in enumerate(tagged)]} if asked.get("ids") else {}),
        }  # fmt: skip

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield await self._messages.get()

    async def close(self) -> None:
        self.closed = True

    def _say(self, **message: Any) -> None:
        self._messages.put_nowait(message)


def _words(row: Row) -> tuple[list[str], list[str]]:
    """What is given and what is learned, each word with the space after it."""
    if row.text is not None:
        return [], [f"{word} " for word in row.text.split(" ")] + ["<|eot_id|>"]
    given = [f"{word} " for m in row.messages[:-1] for word in f"<|{m['role']}|>{m['content']}".split(" ")]
    answer = [f"{word} " for word in row.messages[-1]["content"].split(" ")]
    return [*given, "<|assistant|>\n\n"], [*answer, "<|eot_id|>"]
