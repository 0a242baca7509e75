"""Makes broken and hostile inputs out of valid ones: values of the wrong kind or size, broken bytes, and texts that
try to command the terminal."""

from __future__ import annotations

import json
import random
from typing import Any

TEXTS = (
    "", "nan", "%s%n{0}", "\0", "a\nb", "../../up", "/etc/passwd", "~nobody-of-that-name/x", "x" * 70_000,
    "\x1b]0;OWNED\x07", "\x1b]52;c;T1dORUQ=\x07", "\x1b[2J\x1b[999;999H", "\x9b2J\x9d0;OWNED\x9c", "\u202eOWNED\u2066",
    "[@click=app.quit]OWNED[/] [/INST]", "e" + "\u0301" * 3000, "\ud800", "\U000e0041\u200b\ufeff", "🧟" * 200,
)  # fmt: skip
NUMBERS = (0, -1, 1, 3, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, 10**400, -(10**30), 0.5, 1e308, -1e308, 1e-320,
           float("nan"), float("inf"), -float("inf"))  # fmt: skip
BYTES = (b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J", b"\xc2\x9b", b"\n", b"\r", b'"', b"'", b'"""', b"{", b"}",
         b"]", b",", b"=", b"#", b"\\", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"\xed\xa0\x80",
         b"\\ud800")  # fmt: skip


class Mutator:
    """The same `seed` makes the same inputs."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 2) -> Any:
        """Any JSON value, and some that JSON has no word for."""
        pick = self.random.random()
        if pick < 0.4:
            return self.random.choice(TEXTS)
        if pick < 0.75:
            return self.random.choice(NUMBERS)
        if pick < 0.85 or not depth:
            return self.random.choice((None, True, False))
        if pick < 0.92:
            return [self.value(depth - 1) for _ in range(self.random.randrange(3))]
        return {str(self.random.choice(("a", "", "__proto__", "\x1b[2J"))): self.value(depth - 1)}

    def json(self, valid: Any) -> bytes:
        """`valid` as JSON, with one to three things wrong: in a value, or in its bytes."""
        mutated = json.loads(json.dumps(valid))
        for _ in range(self.random.randrange(4)):
            mutated = self.change_one_value(mutated)
        text = json.dumps(mutated, ensure_ascii=self.random.random() < 0.5).encode("utf-8", "surrogatepass")
        if text.startswith(b'{"') and self.random.random() < 0.03:
            text = b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b", " + text[1:]
        return text if self.random.random() < 0.75 else self.bytes(text)

    def json_lines(self, rows: list[Any]) -> bytes:
        """JSON lines of which some are wrong, torn, missing or doubled."""
        lines = [json.dumps(row).encode() for row in rows]
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(lines))
            lines[at : at + 1] = self.random.choice(
                [[self.json(rows[at % len(rows)])], [self.json(rows[at % len(rows)])], [self.bytes(lines[at])], [],
                 [lines[at]] * 2, [lines[at][: len(lines[at]) // 2]], [lines[at], *reversed(lines)]]
            )  # fmt: skip
            if not lines:
                break
        return b"\n".join(lines) + b"\n" * (self.random.random() < 0.8)

    def toml(self, text: str) -> bytes:
        """`text`, a profile or settings, with wrong values, keys, lines or bytes."""
        lines = text.splitlines()
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(lines))
            key, equals, _ = lines[at].partition("=")
            pick = self.random.random()
            if equals and pick < 0.6:
                lines[at] = f"{key}= {self._literal()}"
            elif pick < 0.7:
                lines[at] = f"{json.dumps(self.random.choice(TEXTS)[:99])} = {self._literal()}"
            elif pick < 0.8:
                lines.insert(at, lines[self.random.randrange(len(lines))])
            else:
                del lines[at]
            lines = lines or [""]
        data = "\n".join(lines).encode("utf-8", "surrogatepass")
        return data if self.random.random() < 0.7 else self.bytes(data)

    def bytes(self, data: bytes) -> bytes:
        """`data` with some bytes cut off, doubled, flipped or inserted."""
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(data) + 1)
            end = min(len(data), at + self.random.choice((1, 1, 2, 8, 64, 4096)))
            pick = self.random.randrange(6)
            if pick == 0:
                data = data[:at]
            elif pick == 1:
                data = data[:at] + data[end:]
            elif pick == 2:
                data = data[:end] + data[at:]
            elif pick == 3:
                data = data[:at] + bytes(byte ^ 1 << self.random.randrange(8) for byte in data[at:end]) + data[end:]
            elif pick == 4:
                data = data[:at] + self.random.choice(BYTES) + data[at:]
            else:
                data = data[:at] + self.random.randbytes(end - at) + data[end:]
        return data

    def _literal(self) -> str:
        if self.random.random() < 0.2:
            return self.random.choice(("[", "{}", "[[1]]", "1979-05-27", "0x10", "inf", "-nan", "true", '"""', "''"))
        try:
            return json.dumps(self.value(1), ensure_ascii=self.random.random() < 0.5)
        except ValueError:  # a number of more digits than Python prints
            return "9" * 5000

    def change_one_value(self, valid: Any) -> Any:
        """`valid` with one of its values replaced, removed or renamed; sometimes a value in its place."""
        places: list[tuple[Any, Any]] = []
        left = [valid]
        while left:
            owner = left.pop()
            if isinstance(owner, dict | list):
                keys = list(owner) if isinstance(owner, dict) else range(len(owner))
                places += [(owner, key) for key in keys]
                left += [owner[key] for key in keys]
        if not places or self.random.random() < 0.03:
            return self.value()
        owner, key = self.random.choice(places)
        pick = self.random.random()
        if pick < 0.75:
            owner[key] = self.value()
        elif pick < 0.9:
            del owner[key]
        elif isinstance(owner, dict):
            owner[str(self.random.choice(TEXTS))] = owner.pop(key)
        else:
            owner.append(owner[key])
        return valid
