"""A dataset of made-up advice on a zombie game: `python tests/benchmarks/make_dataset.py OUT.jsonl --rows 16069`.

Rows differ in length as people's do; one in fifty is there twice, one in thirty once more with a word changed. The same
options make the same file. `--rows 2000000 --bytes 1GB` takes half a minute. `--damage` plants every kind of row that
can't be learned from, and says where.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

WHO = ["Rook", "Zoë", "the Scattergunner", "your tank", "the Medic", "a second healer", "the Flamethrower", "Kōji"]
DOES = [
    "holds",
    "clears",
    "slows down",
    "outlasts",
    "burns through",
    "pulls back from",
    "lures away",
    "shields you from",
]
WHAT = [
    "the runners",
    "the spitters",
    "the bridge boss",
    "wave {n}",
    "the last gate",
    "crawlers 🧟",
    "the horde",
    "stage {n}",
]
WHEN = [
    "once the barricade is at level {n}",
    "while the energy lasts ({n} a run)",
    "if you have saved {n} gems",
    'before the "night" event ends',
    "after {n} scrap went into armour",
    "so don't spend crates there",
    "which costs about {n} % of your ammo",
    "unless your alliance helps",
]
ASKED = [
    "How do I get past {what} with {who}?",
    "Is it worth upgrading {who} for {what}?",
    "What beats {what}?",
    "I'm stuck on {what}, {when}. What should I change?",
    "Which hero goes beside {who} against {what}, {when}?",
]
SENTENCES = 4000  # ready-made; rows are put together from them
BATCH = 5000
TWICE, NEARLY = 0.02, 0.03
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
LONG_LINE = 50 * 10**6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=16_069)
    parser.add_argument("--bytes", type=size, help="of the whole file, nearly; such as 1GB (400 a row)")
    parser.add_argument("--damage", action="store_true", help="bad rows, a byte-order mark, CRLF, blank lines")
    parser.add_argument("--seed", type=int, default=16_069)
    args = parser.parse_args()
    with args.out.open("wb") as file:
        if args.damage:
            for said in damaged(args.rows, args.bytes, args.seed, file.write):
                print(said)
        else:
            for batch in batches(args.rows, args.bytes, args.seed):
                file.write("".join(batch).encode())
    return 0


def size(text: str) -> int:
    match = re.fullmatch(r"([0-9.]+) *([KMG]?I?B?)", text.upper())
    if not match or match[2] not in UNITS:
        raise argparse.ArgumentTypeError(f"{text}: such as 500MB or 1GB")
    return int(float(match[1]) * UNITS[match[2]])


def batches(rows: int, size: int | None, seed: int) -> Iterator[list[str]]:
    """`rows` lines in all, of `size` bytes together."""
    chance = random.Random(seed)
    questions = [_escaped(_filled(chance, chance.choice(ASKED))) for _ in range(SENTENCES)]
    answers = [_escaped(_sentence(chance)) for _ in range(SENTENCES)]
    a_sentence = sum(len(answer.encode()) + 1 for answer in answers) / SENTENCES
    left, size = rows, size or rows * 400
    while left:
        count = min(BATCH, left)
        mean = max(1.0, (size / left - 100) / a_sentence)
        lengths = [max(1, round(chance.lognormvariate(-0.32, 0.8) * mean)) for _ in range(count)]
        batch = [
            f'{{"instruction": "{question}", "response": "{" ".join(chance.choices(answers, k=length))}"}}\n'
            for question, length in zip(chance.choices(questions, k=count), lengths, strict=True)
        ]
        for at in range(1, count):
            drawn = chance.random()
            if drawn < TWICE:
                batch[at] = batch[chance.randrange(at)]
            elif drawn < TWICE + NEARLY:
                batch[at] = batch[chance.randrange(at)].replace(" the ", " every ", 1)
        yield batch
        left, size = left - count, size - len("".join(batch).encode())


def damaged(rows: int, size: int | None, seed: int, write: Callable[[bytes], object]) -> Iterator[str]:
    """Writes the set with one row in each so many replaced; tells of each on which line it is."""
    kinds = damages()
    if rows <= 2 * len(kinds):
        raise SystemExit(f"--damage needs more than {2 * len(kinds)} rows")
    every = rows // (len(kinds) + 1)
    names = iter(kinds)
    write(b"\xef\xbb\xbf")
    yield "line 1: a byte-order mark; a third of the lines end with CRLF; some are blank"
    line = 0
    for number, text in enumerate(itertools.chain.from_iterable(batches(rows, size, seed)), 1):
        line += 1
        row = text.strip().encode()
        if number % every == 0 and (name := next(names, None)):
            row = kinds[name]
            yield f"line {line}: {name}"
        end = b"\r\n" if number % 3 == 0 else b"\n"
        if number % (every * 2) == 1:
            line += 2
            end += b"\n \t" + end
        write(row + (end if number < rows else b""))


def damages() -> dict[str, bytes]:
    """Each kind by its name."""
    good = {"instruction": "Who?", "response": "Rook."}
    return {
        "broken JSON": b'{"instruction": "Who?", "response": "Rook."',
        "not an object": b'["Who?", "Rook."]',
        "NaN": b'{"instruction": "Who?", "response": "Rook.", "score": NaN}',
        "no instruction": b'{"response": "Rook."}',
        "no response": b'{"instruction": "Who?"}',
        "an empty answer": json.dumps({**good, "response": ""}).encode(),
        "a blank answer": json.dumps({**good, "response": " \n\t"}).encode(),
        "a number for an answer": json.dumps({**good, "response": 5}).encode(),
        "null for an answer": json.dumps({**good, "response": None}).encode(),
        "a list for an instruction": json.dumps({**good, "instruction": ["Who?"]}).encode(),
        "not UTF-8": '{"instruction": "Who?", "response": "Zoë."}'.encode("latin-1"),
        "a lone surrogate": b'{"instruction": "Who?", "response": "Rook \\ud83e."}',
        "a null byte": b'{"instruction": "Who?", "response": "Rook.\x00"}',
        "nested too deeply": b'{"a": ' * 100_000,
        "messages without an answer": b'{"messages": [{"role": "user", "content": "Who?"}]}',
        "an unknown role": b'{"messages": [{"role": "robot", "content": "Who?"}]}',
        "a line of 50 MB": b'{"instruction": "Who?", "response": "' + b"Rook. " * (LONG_LINE // 6) + b'"}',
    }


def _sentence(chance: random.Random) -> str:
    text = f"{chance.choice(WHO)} {chance.choice(DOES)} {_filled(chance, '{what}')}"
    text += f", {_filled(chance, '{when}')}" if chance.random() < 0.7 else ""
    return text[0].upper() + text[1:] + chance.choice(["."] * 8 + ["!", "…"])


def _filled(chance: random.Random, text: str) -> str:
    text = text.format(who=chance.choice(WHO), what=chance.choice(WHAT), when=chance.choice(WHEN))
    return re.sub("{n}", lambda _: str(chance.randint(2, 400)), text)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


if __name__ == "__main__":
    sys.exit(main())
