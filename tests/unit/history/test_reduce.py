"""Tests what each event does to the state, and that the fast way through a history gives the same result."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from training.contract import events as ev
from training.history.points import Unknown
from training.history.reduce import reduce, reduce_all
from training.history.state import RunState, compute_elapsed
from training.history.tailer import decode


def numbered(*events: ev.Event, first: int = 0, clock: float = 1000.0) -> list[ev.Event]:
    """`events` with `seq` and a second between each two."""
    for index, event in enumerate(events):
        event.seq, event.time = first + index, clock + index
    return list(events)


def steps(first: int, last: int, loss: float = 1.0) -> list[ev.Event]:
    return [ev.Metrics(step=step, loss=loss, tokens=step * 8) for step in range(first, last + 1)]


def test_each_card_has_its_last_reading_and_the_first_its_history() -> None:
    readings = [
        ev.Gpu(card=card, temperature=celsius) for card, celsius in ((0, 50), (2, 52), (1, 51), (0, 60), (2, 62))
    ]
    state = after(ev.Started(attempt=1, pid=1), *readings)
    assert state.gpu == readings[3] and list(state.gpu_history) == [readings[0], readings[3]]
    assert state.other_gpus == [readings[2], readings[4]]
    for next_event in (ev.Held(state="parked", reason="You lent the cards."), ev.Started(attempt=2, pid=2)):
        later = after(ev.Started(attempt=1, pid=1), *readings, next_event)
        assert (later.gpu, later.other_gpus) == (None, [])


def after(*events: ev.Event) -> RunState:
    return reduce_all(RunState(), numbered(*events))


def dump(state: RunState) -> object:
    """Return all values of a state in a form that can be compared. NaN equals itself."""
    losses = state.losses
    columns = (losses.steps, losses.losses, losses.smooth, losses.times, losses.tokens)
    rest = {key: repr(value) for key, value in vars(state).items() if key != "losses"}
    return repr([list(column) for column in columns]), rest


def test_a_run_from_start_to_end() -> None:
    resolved = ev.Resolved(total_steps=3, steps_per_epoch=3, train_rows=24, eval_rows=2)
    events = numbered(
        ev.Started(attempt=1, pid=7),
        ev.Phase(name="loading"),
        resolved,
        ev.Phase(name="training"),
        *steps(1, 2),
        ev.Phase(name="evaluating"),
        ev.Eval(step=2, eval_loss=0.5),
        ev.Phase(name="training"),
        *steps(3, 3),
        ev.Phase(name="saving"),
        ev.Checkpoint(step=3, path="checkpoints/checkpoint-3"),
        ev.Done(step=3, seconds=9.0),
    )
    state, statuses = RunState(), []
    for event in events:
        state = reduce(state, event)
        statuses.append(state.status)
    assert statuses == [
        *["preparing"] * 3,
        *["training"] * 3,
        *["evaluating"] * 2,
        *["training"] * 2,
        *["saving"] * 2,
        "done",
    ]
    assert (state.step, state.total_steps, state.attempt) == (3, 3, 1)
    assert list(state.losses.steps) == [1, 2, 3]
    assert list(state.losses.times) == [1.0, 2.0, 4.0]  # from the moment training began, without the evaluation
    assert state.evals[-1].eval_loss == 0.5
    assert state.checkpoints[-1].step == 3
    assert state.missing_events == 0
    assert compute_elapsed(state) == 12.0


def test_after_a_resume_what_came_past_the_checkpoint_is_superseded() -> None:
    state = after(
        ev.Started(attempt=1, pid=1),
        ev.Phase(name="training"),
        *steps(1, 10),
        ev.Eval(step=5, eval_loss=2.0),
        ev.Eval(step=10, eval_loss=1.0),
        ev.Checkpoint(step=5, path="checkpoints/checkpoint-5"),
        ev.Failed(kind="gpu_memory", message="The card is full.", hint="Lower max_seq_length."),
        ev.Started(attempt=2, pid=2, resume_step=5),
        ev.Phase(name="training"),
        *steps(6, 7, loss=9.0),
    )
    assert list(state.losses.steps) == [1, 2, 3, 4, 5, 6, 7]
    assert list(state.losses.losses) == [1.0] * 5 + [9.0] * 2
    assert list(state.losses.times) == [1, 2, 3, 4, 5, 6, 7]  # the break does not count
    assert [event.step for event in state.evals] == [5]
    assert (state.status, state.failure, state.reason) == ("training", None, "")
    assert state.missing_events == 0


def test_the_wait_in_the_queue_before_the_first_attempt_is_no_break() -> None:
    queued = [ev.Held(state="queued", reason="a trains.") for _ in range(5)]
    attempt = [ev.Started(attempt=1, pid=1), *steps(1, 3)]
    assert compute_elapsed(after(*queued, *attempt)) == compute_elapsed(after(*attempt)) == 3
    parked = [ev.Held(state="parked", reason=reason) for reason in ("You lent the card.", "blender uses it.")]
    resumed = after(*queued, *attempt, *parked, ev.Started(attempt=2, pid=2, resume_step=3), *steps(4, 4))
    assert compute_elapsed(resumed) == 5  # the wait between the attempts is one


def test_a_resume_starts_at_the_step_of_its_checkpoint() -> None:
    state = after(ev.Started(attempt=1, pid=1), *steps(1, 9), ev.Started(attempt=2, pid=2, resume_step=4))
    assert (state.step, state.last, len(state.losses), state.status) == (4, None, 4, "preparing")


def test_gaps_in_seq_are_counted() -> None:
    events = numbered(*steps(1, 3)) + numbered(*steps(4, 6), first=5) + numbered(ev.Heartbeat(), first=20)
    assert reduce_all(RunState(), events).missing_events == 2 + 12


def test_a_loss_that_is_not_finite_is_a_gap() -> None:
    state = after(*steps(1, 2), ev.Metrics(step=3, loss=None, not_finite=("loss",)), *steps(4, 4))
    assert math.isnan(state.losses.losses[2])
    assert state.last is not None and state.last.loss == 1.0


def test_stopping_lasts_until_the_run_has_stopped() -> None:
    before = [ev.Started(attempt=1, pid=1), ev.Phase(name="training"), *steps(1, 2), ev.Stopping(step=2)]
    assert after(*before, *steps(3, 3), ev.Phase(name="saving")).status == "stopping"
    state = after(*before, ev.Stopped(step=2))
    assert (state.status, state.ended) == ("stopped", True)
    assert state.reason == "Stopped on request."


def test_a_failure_says_why() -> None:
    state = after(ev.Started(attempt=1, pid=1), ev.Failed(kind="nan_loss", message="The loss is NaN.", hint="h"))
    assert (state.status, state.reason) == ("failed", "The loss is NaN.")


def test_readings_of_the_process_that_ended_are_gone_after_a_resume() -> None:
    before = [ev.Started(attempt=1, pid=1), *steps(1, 9), ev.Memory(step=9, host_mib=900.0), ev.Gpu(temperature=80)]
    state = after(*before, ev.Started(attempt=2, pid=2, resume_step=9))
    assert (state.memory, state.gpu, len(state.gpu_history)) == (None, None, 1)
    assert state.last is not None  # the loss at this step is still the loss


def test_only_steps_count_as_time_of_training() -> None:
    """With two steps between logged ones, an evaluation and a save after an odd step, and a pause of the card."""
    events: list[tuple[float, ev.Event]] = [
        (0, ev.Started(attempt=1, pid=1)),
        (5, ev.Phase(name="loading")),
        (20, ev.Phase(name="training")),
        (22, ev.Metrics(step=2)),
        (23, ev.Phase(name="evaluating")),
        (50, ev.Phase(name="evaluating", done=1, total=2)),
        (90, ev.Phase(name="saving")),
        (100, ev.Phase(name="training")),
        (101, ev.Metrics(step=4)),
        (102, ev.Phase(name="saving")),
        (103, ev.Phase(name="cooling")),
        (900, ev.Phase(name="training")),
        (901, ev.Phase(name="training")),
        (902, ev.Metrics(step=6)),
    ]
    for seq, (time, event) in enumerate(events):
        event.seq, event.time = seq, 1e9 + time
    state = reduce_all(RunState(), [event for _, event in events])
    assert list(state.losses.times) == [2, 4, 7]


EVENTS = st.one_of(
    st.builds(
        ev.Metrics,
        step=st.integers(0, 40),
        loss=st.one_of(st.none(), st.floats(-10, 10)),
        tokens=st.integers(0, 1000),
    ),
    st.builds(ev.Started, attempt=st.integers(1, 5), pid=st.just(1), resume_step=st.integers(0, 40)),
    st.builds(ev.Phase, name=st.sampled_from(["loading", "tokenising", "training", "evaluating", "saving"])),
    st.builds(ev.Eval, step=st.integers(0, 40), eval_loss=st.floats(0, 5)),
    st.builds(ev.Fitted, total_steps=st.integers(0, 40), planned_steps=st.just(40)),
    st.builds(ev.PassRate, step=st.integers(0, 40), passes=st.integers(0, 4), questions=st.just(4)),
    st.builds(ev.Memory, step=st.integers(0, 40)),
    st.builds(ev.Gpu, temperature=st.floats(20, 90)),
    st.builds(ev.Sample, step=st.integers(0, 40), prompt=st.just("p"), text=st.just("t")),
    st.builds(ev.Checkpoint, step=st.integers(0, 40), path=st.just("c")),
    st.builds(ev.Warned, message=st.just("w")),
    st.builds(ev.Heartbeat, step=st.integers(0, 40)),
    st.builds(ev.Held, state=st.sampled_from(["queued", "parked", "waiting", "healing"]), reason=st.just("r")),
    st.builds(ev.Healed, kind=st.just("hang"), reason=st.just("r"), failed_step=st.integers(0, 40)),
    st.builds(Unknown),
    st.builds(ev.Stopping, step=st.just(1)),
    st.builds(ev.Stopped, step=st.just(1)),
    st.builds(ev.Done, step=st.just(1)),
    st.builds(ev.Failed, kind=st.just("unknown"), message=st.just("m")),
)


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=60), st.lists(st.integers(0, 5), max_size=60), st.lists(st.integers(1, 59)))
def test_any_slicing_gives_what_event_by_event_gives(events: list[ev.Event], skips: list[int], cuts: list[int]) -> None:
    events = [msgspec.structs.replace(event) for event in events]  # hypothesis may hand out one object twice
    seq = 0
    for index, event in enumerate(events):
        seq += skips[index] if index < len(skips) else 0
        event.seq, event.time = seq, 1000.0 + index
        seq += 1
    one_by_one = RunState()
    for event in events:
        one_by_one = reduce(one_by_one, event)
    sliced = RunState()
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    for start, end in pairwise(edges):
        sliced = reduce_all(sliced, events[start:end])
    assert dump(sliced) == dump(one_by_one)
    assert dump(reduce_all(RunState(), events)) == dump(one_by_one)


def test_a_long_history_read_from_bytes_is_the_same_too() -> None:
    encoder = msgspec.json.Encoder()
    events: list[ev.Event] = [ev.Started(attempt=1, pid=1), ev.Phase(name="training")]
    for step in range(1, 3001):
        events.append(ev.Metrics(step=step, loss=None if step % 97 == 0 else 3 / step, tokens=step))
        if step % 7 == 0:
            events.append(ev.Memory(step=step, host_mib=1.0))
    events += [ev.Started(attempt=2, pid=2, resume_step=2500), *steps(2501, 2600)]
    data = b"".join(encoder.encode(event) + b"\n" for event in numbered(*events))
    one_by_one = RunState()
    for event in events:
        one_by_one = reduce(one_by_one, event)
    assert dump(reduce_all(RunState(), decode(data).events)) == dump(one_by_one)
    assert dump(reduce_all(RunState(), decode(data, points=True).events)) == dump(one_by_one)


def test_a_clock_that_was_set_back_between_attempts_takes_no_work_away() -> None:
    first = [ev.Started(attempt=1, pid=1), ev.Phase(name="training"), *steps(1, 10)]
    second = [ev.Started(attempt=2, pid=2, resume_step=10), ev.Phase(name="training"), *steps(11, 20)]
    for jump in (0.0, -86_400.0):
        for number, event in enumerate((*first, *second)):
            event.seq, event.time = number, 1e9 + 5 * number + (jump if number >= len(first) else 0.0)
        state = reduce_all(RunState(), [*first, *second])
        assert compute_elapsed(state) == 5 * (len(first) + len(second) - 2)
        times = list(state.losses.times)
        assert times == sorted(times) and times[0] >= 0


def test_a_resume_forgets_the_pass_rates_after_its_checkpoint() -> None:
    rates = [ev.PassRate(step=step, passes=step // 10, questions=40) for step in (10, 20, 30)]
    state = after(ev.Started(attempt=1, pid=1), *rates, ev.Started(attempt=2, pid=2, resume_step=20))
    assert [(rate.step, rate.passes) for rate in state.pass_rates] == [(10, 1), (20, 2)]
    assert [rate.rate for rate in state.pass_rates] == [1 / 40, 2 / 40]
    empty = ev.PassRate(step=1, passes=3, questions=0, trained_passes=4)  # of a damaged file
    assert (empty.rate, empty.unseen_passes, empty.unseen_questions) == (0.0, 0, 0)


def test_a_fitted_run_has_the_steps_that_fit_until_its_next_attempt_is_resolved() -> None:
    resolved = ev.Resolved(total_steps=400, steps_per_epoch=200, train_rows=1_600, eval_rows=2, eval_steps=40)
    fitted = ev.Fitted(
        total_steps=90, planned_steps=400, deadline=5_000.0, rows=720, eval_steps=9, save_steps=18, book_steps=9
    )
    events = [ev.Started(attempt=1, pid=7), resolved, *steps(1, 20), fitted, *steps(21, 30)]
    state = after(*events)
    assert (state.total_steps, state.fitted) == (90, fitted)
    assert state.resolved is not None
    assert (state.resolved.eval_steps, state.resolved.save_steps, state.resolved.book_steps) == (9, 18, 9)
    assert (state.resolved.train_rows, resolved.total_steps) == (1_600, 400)
    done = reduce_all(state, [ev.Done(step=90, reason="It reached the deadline.")])
    assert (done.status, done.reason) == ("done", "It reached the deadline.")
    again = after(*events, ev.Started(attempt=2, pid=8), resolved)
    assert (again.total_steps, again.fitted, again.reason) == (400, None, "")
