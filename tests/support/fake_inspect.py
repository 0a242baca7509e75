"""The inspect worker in the same process, with words for tokens: its answers depend on nothing but the rows."""

from __future__ import annotations

from codex_tui.base import locations
from support.fake_worker import InProcessWorker
from training.contract.config import RunConfig
from training.contract.inspect_messages import (
    Cancel,
    Cancelled,
    InspectProgress,
    InspectReady,
    RenderedRow,
    RenderedSequence,
    Segment,
    ShowRow,
    StatsReady,
    Tokenise,
)
from training.contract.messages import Message
from training.dataset import kept, lengths, scan
from training.dataset.index import RowIndex
from training.dataset.records import BadRow
from training.dataset.shapes import Columns, Row, read_row
from training.dataset.source import source_from_config


class WordWorker(InProcessWorker):
    """Answers like `python -m training inspect`. If `holds_back`, it counts no tokens before `go_on` is called."""

    holds_back = False

    def begin(self) -> None:
        path = self.place / "config.json" if self.place.is_dir() else self.place
        config, self.profile = RunConfig.read_with_profile(path)
        self._columns = Columns.from_dataset(self.profile.dataset)
        self._cache = locations.cache_home()
        self._index = RowIndex.open(source_from_config(config), self._cache)
        self.say(InspectReady(rows=len(self._index)))

    def take(self, request: Message) -> None:
        match request:
            case ShowRow():
                self.say(self._row(request))
            case Cancel():
                self.say(Cancelled())
            case Tokenise() if self.holds_back:
                self.say(InspectProgress(what="tokenising", done=25, total=100))
            case Tokenise():
                self.go_on()

    def go_on(self) -> None:
        found = scan.scan(self._index, self._columns, self.profile)
        assert found is not None
        counted = lengths.Lengths()
        for row in found.good():
            given, learned = split_words(read_row(self._index.record(row), self._columns))
            counted.add([(len(given) + len(learned), [(len(given), len(given) + len(learned))])])
        places = [kept.cache_path(self._cache, kind, str(self._index.source.files)) for kind in ("scan", "lengths")]
        scan.save(places[0], found)
        lengths.save(places[1], counted)
        self.say(StatsReady(scan=str(places[0]), lengths=str(places[1])))

    def _row(self, request: ShowRow) -> RenderedRow:
        record = self._index.record(request.index)
        limit = request.max_seq_length or self.profile.model.max_seq_length
        rendered = RenderedRow(index=request.index, line=record.line, raw=record.raw, max_seq_length=limit)
        try:
            given, learned = split_words(read_row(record, self._columns))
        except BadRow as problem:
            rendered.problem, rendered.split = str(problem), "bad"
            return rendered
        tagged = [(word, place >= len(given), place >= limit) for place, word in enumerate(given + learned)]
        segments: list[Segment] = []
        for word, is_learned, cut in tagged:
            last = segments[-1] if segments else None
            if last is None or (last.learned, last.cut) != (is_learned, cut):
                segments.append(last := Segment(text="", learned=is_learned, cut=cut))
            last.text += word
        sequence = RenderedSequence(
            segments=segments,
            tokens=len(tagged),
            spans=[(len(given), len(tagged))],
            learned_tokens=sum(is_learned and not cut for _, is_learned, cut in tagged),
        )
        if request.ids:
            sequence.ids = [(place, word) for place, (word, *_) in enumerate(tagged)]
        rendered.shape, rendered.sequences = "instruction", [sequence]
        rendered.split = "train" if sequence.learned_tokens else "dropped"
        return rendered


def split_words(row: Row) -> tuple[list[str], list[str]]:
    """What is given and what is learned, each word with the space after it."""
    if row.text is not None:
        return [], [f"{word} " for word in row.text.split(" ")] + ["<|eot_id|>"]
    given = [f"{word} " for m in row.messages[:-1] for word in f"<|{m['role']}|>{m['content']}".split(" ")]
    answer = [f"{word} " for word in row.messages[-1]["content"].split(" ")]
    return [*given, "<|assistant|>\n\n"], [*answer, "<|eot_id|>"]
