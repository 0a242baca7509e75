"""The memory of the run's own trainer, from its events."""

from __future__ import annotations

from pathlib import Path

from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.keeper.trainer_memory import TrainerMemory


def test_follows_the_peaks_of_the_newest_attempt(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    memory = TrainerMemory(path)
    memory.poll(path)
    assert (memory.held_mib, memory.needed_mib) == (None, None)
    events = EventWriter(path)
    events.emit(ev.Started(attempt=1, pid=1))
    events.emit(ev.Memory(step=0, host_mib=900.0))  # on a CPU there is none
    memory.poll(path)
    assert (memory.held_mib, memory.needed_mib) == (None, None)
    events.emit(ev.Probe(tokens=512, rows=1, peak_reserved_mib=2400.0, context_mib=300.0))
    events.emit(ev.Memory(step=1, reserved_mib=2000.0, peak_reserved_mib=2100.0))
    memory.poll(path)
    assert (memory.held_mib, memory.needed_mib) == (2700.0, 2700.0)
    events.emit(ev.Memory(step=2, reserved_mib=2600.0, peak_reserved_mib=2600.0))
    memory.poll(path)
    assert (memory.held_mib, memory.needed_mib) == (2900.0, 2900.0)
    # The next attempt needs less, after a remedy. Until it has measured, the need of the one before counts.
    events.emit(ev.Started(attempt=2, pid=2))
    memory.poll(path)
    assert (memory.held_mib, memory.needed_mib) == (None, 2900.0)
    events.emit(ev.Probe(tokens=512, rows=1, peak_reserved_mib=1500.0, context_mib=310.0))
    memory.poll(path)
    assert (memory.held_mib, memory.needed_mib) == (1810.0, 1810.0)
    events.close()


def test_reads_no_line_twice_and_none_that_is_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with path.open("w") as file:
        file.write('{"type":"probe","tokens":1,"rows":1,"peak_reserved_mib":9000.0}\n')  # of an earlier keeper
    memory = TrainerMemory(path)
    with path.open("a") as file:
        file.write('not JSON\n{"type":"memory","step":"x"}\n{"type":"memory","step":1,"peak_res')
    memory.poll(path)
    assert memory.held_mib is None
    with path.open("a") as file:
        file.write('erved_mib":100.0}\n')
    memory.poll(path)
    assert memory.held_mib == 100.0
