"""Makes text from outside harmless, once, where it enters the app.

Textual passes control bytes through every widget to the terminal, so an escape sequence in a dataset row or a streamed
answer could retitle the window, write the clipboard or clear the screen. `clean` shows such characters instead of
sending them. It works on any piece of a stream: no character it lets through is the start of a sequence.
"""

from __future__ import annotations

import time
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Combining marks on one letter. More marks would draw over the neighbouring lines.
MAX_COMBINING = 4

# Emoji, of which terminals may know more than Python's table of Unicode.
_EMOJI = range(0x1F000, 0x20000)

MIN_GB_MIB = 102.4  # a smaller size is shown in MB

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = "\u00ad\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\ufff9\ufffa\ufffb"

_SHOWN: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # the Control Pictures block: ESC is ␛
    0x7F: "␡",
    **dict.fromkeys(range(0x80, 0xA0), REPLACEMENT),  # C1: U+009B is CSI in one character
    **dict.fromkeys(map(ord, _BIDI), REPLACEMENT),
    **dict.fromkeys(map(ord, _INVISIBLE), ""),
    **dict.fromkeys(range(0xD800, 0xE000), REPLACEMENT),  # a lone surrogate can't be encoded
    **dict.fromkeys(range(0xE0000, 0xE0080), ""),  # tags: invisible copies of ASCII
    ord("\t"): "    ",
    ord("\n"): "↵",
    ord("\r"): "",
    0x2028: "↵",
    0x2029: "↵",
}
_SHOWN_WITH_LINES = {**_SHOWN, ord("\n"): "\n", 0x2028: "\n", 0x2029: "\n"}


def clean(text: object, *, newlines: bool = False) -> str:
    """Make every character visible that a terminal could obey. Line ends stay as they are if `newlines`."""
    shown = str(text).translate(_SHOWN_WITH_LINES if newlines else _SHOWN)
    return shown if shown.isascii() else _clean_unicode(shown)


def clean_text(text: str) -> str:
    """Make a text of several lines harmless and keep its tabs, for a text field and for the clipboard.

    A terminal pastes the end of a line as a carriage return.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "\t".join(clean(part, newlines=True) for part in lines.split("\t"))


def _clean_unicode(text: str) -> str:
    """Drop marks beyond MAX_COMBINING, and replace characters that Unicode does not have, which untrained models write.
    Textual counts a cell for each of these, but many terminals draw none: the rest of the line would be in other
    columns than Textual thinks, and some of it would stay on the screen."""
    result: list[str] = []
    run = 0
    for character in text:
        category = unicodedata.category(character)
        run = run + 1 if category in ("Mn", "Me") else 0
        if run <= MAX_COMBINING:
            is_unknown = category == "Cn" and ord(character) not in _EMOJI
            result.append(REPLACEMENT if is_unknown else character)
    return "".join(result)


def shorten(text: str, width: int) -> str:
    """Cut `text` to at most `width` characters. A longer text ends with an ellipsis."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def shorten_start(text: str, width: int) -> str:
    """Cut the beginning of `text`, for a path whose end says more. See `shorten`."""
    return text if len(text) <= width else "…" + text[len(text) - max(0, width - 1) :]


def pluralize(count: int, noun: str) -> str:
    """Format `1, "row"` as "1 row" and `1234, "row"` as "1,234 rows"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def format_gb(mib: float, digits: int = 2) -> str:
    """Format 3701 MiB as "3.61 GB", and 93 MiB as "93 MB"."""
    return f"{mib / 1024:.{digits}f} GB" if mib >= MIN_GB_MIB else f"{mib:.0f} MB"


def format_moment(moment: float) -> str:
    """Format Unix seconds as the time of the day, with the date if that is another day."""
    then, now = time.localtime(max(0.0, min(moment, 4e9))), time.localtime()
    return time.strftime("%H:%M" if then[:3] == now[:3] else "%d %b %H:%M", then)


def format_duration(seconds: float | None) -> str:
    """Format 75 seconds as "1:15", 4000 as "1:06:40", and None as "–"."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_duration_range(shortest: float, longest: float) -> str:
    """Format 5900 and 9400 seconds as "1.6–2.6 h", and an exact duration as `format_duration` does."""
    if shortest == longest:
        return format_duration(longest)
    divisor, unit = (3600, "h") if longest >= 3600 else (60, "min") if longest >= 60 else (1, "s")
    ends = [f"{seconds / divisor:.{0 if longest >= 10 * divisor else 1}f}" for seconds in (shortest, longest)]
    return f"{'–'.join(dict.fromkeys(ends))} {unit}"


def format_percent(share: float) -> str:
    """Format a share of 0.39 as "39 %"."""
    return f"{100 * share:.0f} %"


def format_size(count: int) -> str:
    """Format 1234567 bytes as "1.2 MB"."""
    return f"{scale_size(count, count)} {_find_unit(count)[0]}"


def scale_size(count: int, total: int) -> str:
    """Format `count` bytes in the unit that suits `total`, without the unit."""
    divisor = _find_unit(total)[1]
    return f"{count / divisor:.1f}" if divisor > 1 else f"{count}"


def _find_unit(count: int) -> tuple[str, int]:
    return next(((u, d) for u, d in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)) if count >= d), ("B", 1))
