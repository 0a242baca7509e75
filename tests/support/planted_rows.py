"""400 rows of which 10 have a wrong answer: 20 facts of the sample, each asked in 20 ways."""

from __future__ import annotations

import json
import random
from pathlib import Path

from training.dataset.source import DEMO_FILE

FACTS, WRONG = 20, 10
OPENINGS = (
    "", "Tell me: ", "A question: ", "Please help: ", "I wonder: ", "My friend asks: ", "Once more: ", "Quick: ",
    "For my clan: ", "As a beginner: ", "In this game: ", "Just to know: ", "Before I play: ", "After the reset: ",
    "Today: ", "Be honest: ", "In short: ", "First of all: ", "By the way: ", "One more thing: ",
)  # fmt: skip


def write_planted_rows(path: Path) -> list[int]:
    """Write the rows, and return the lines of the wrong ones."""
    sample = [json.loads(line) for line in DEMO_FILE.read_text().splitlines()[: FACTS * 5 : 5]]
    pairs = [(opening + row["instruction"], place) for place, row in enumerate(sample) for opening in OPENINGS]
    chance = random.Random(15)
    chance.shuffle(pairs)
    wrong = sorted(chance.sample(range(len(pairs)), WRONG))
    rows = []
    for position, (question, fact) in enumerate(pairs):
        answer = (fact + 1 + position % (FACTS - 1)) % FACTS if position in wrong else fact
        rows.append({"instruction": question, "response": sample[answer]["response"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [position + 1 for position in wrong]
