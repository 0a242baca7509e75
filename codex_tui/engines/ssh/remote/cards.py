"""Asks a remote which cards it has."""

from __future__ import annotations

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.text import pluralize
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import RemoteFailed
from codex_tui.engines.ssh.remote.remotes import find_remote
from codex_tui.machine.forecast import Card
from training.contract.profile import Profile

SECONDS = 60.0  # nvidia-smi may take half a minute on a machine with many cards
QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits"]


def find_card(name: str, profile: Profile) -> Card:
    """Ask the remote `name` for the card on which it trains `profile`; with several, for the first. Raises BadInput if
    there is no such remote or no such card, CodexError if the remote can't say."""
    remote = find_remote(name)
    try:
        answer = Connection(remote.host, remote.name).run(QUERY, timeout=SECONDS).decode(errors="replace")
    except RemoteFailed as error:
        raise CodexError(f"nvidia-smi shows no card on {name} (exit code {error.code}).") from None
    cards = [card for line in answer.splitlines() if (card := _read_line(line))]
    device, count = profile.hardware.device, len(cards)
    numbers = device if isinstance(device, list) else range(profile.processes) if device == "auto" else [int(device)]
    if missing := [str(number) for number in numbers if number >= count]:
        raise BadInput(f"{name} has {pluralize(count, 'GPU')}, and the profile asks for GPU {' and '.join(missing)}.")
    return cards[numbers[0]]


def _read_line(line: str) -> Card | None:
    """Read `NVIDIA A100-SXM4-40GB, 40960, 3`. A machine whose card shares its memory has no numbers."""
    name, *numbers = (part.strip() for part in line.rsplit(",", 2))
    try:
        total, used = map(float, numbers)
    except ValueError:
        return None
    return Card(name, total, total - used, used)
