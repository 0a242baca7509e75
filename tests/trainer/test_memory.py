"""The memory limit and the probe, on a CPU that pretends to be a GPU."""

from __future__ import annotations

from typing import Any

from support.training_runs import Trainer, demo_profile, events, losses


def test_the_limit_leaves_room_for_the_display_or_for_what_others_hold(trainer: Trainer) -> None:
    limits = trainer.run_program("vram", "limits")
    assert limits == [3596, 3796, 3796, 3996, 3000, 3596]


def test_the_allocator_gets_what_the_context_leaves(trainer: Trainer) -> None:
    caps = trainer.run_program("vram", "caps_by_context")
    # A context outside the known range means that another program came or went. An unknown one counts as an H100's.
    assert caps == [3596 - 300, 3596 - 364, 3596 - 64, 3596 - 1200, 3596 - 828]


def test_a_card_that_was_probed_before_keeps_room_for_its_whole_context_while_loading(trainer: Trainer) -> None:
    caps = trainer.run_program("vram", "caps_after_a_probe")
    assert caps == [[3596 - 364, 310.0, 2800.0], [3596 - 420, 420.0, 2800.0]]


def test_memory_that_runs_out_is_told_from_page_locked_memory_that_does(trainer: Trainer) -> None:
    failures = trainer.run_program("vram", "failures")
    assert failures == [
        ["gpu_memory", "The run can't go on: GPU memory ran out (the limit is 3,596 MiB)."],
        ["pinned_memory", "Page-locked host memory ran out."],
    ]


def test_the_row_that_found_no_memory_is_named(trainer: Trainer) -> None:
    [padded, packed, evaluation, optimizer] = trainer.run_program("vram", "rows_that_found_no_memory")
    place = "its longest row is line 3 of a.jsonl, with 7; the probe had tried 6."
    assert padded[0] == f"The pass had 21 tokens; {place}"
    assert packed[0] == f"The pass had 15 tokens; {place}"
    assert evaluation[0] == "It was a row, with 4 tokens."
    assert optimizer[0] == ""
    memory = {
        "requested_mib": 1536.0,
        "allocated_mib": 2048.0,
        "limit_mib": 3596.0,
        "expandable_segments": False,
        "card": "Card",
    }
    row = {"file": "a.jsonl", "line": 3, "row_tokens": 7, "longest_tokens": 7}
    for told, facts in (
        (padded, {"task": "training", "tokens": 21, "largest_tokens": 21, **row}),
        (packed, {"task": "training", "tokens": 15, "largest_tokens": 15, **row}),
        (evaluation, {"task": "evaluating", "tokens": 4, "row_tokens": 4}),
        (optimizer, {"task": "training"}),
    ):
        assert {name: told[1][name] for name in facts} == facts
        assert {name: told[1].get(name) for name in memory} == memory


def test_what_is_locked_follows_from_the_machine_and_the_profile(trainer: Trainer) -> None:
    assert trainer.run_program("pinned", "parked") == [27 * 16, 16]
    assert trainer.run_program("pinned", "settings") == [
        [False, None, None],
        [True, None, "0.237"],
        [True, "1", None],
        [False, None, None],
        [True, None, "0.119"],
        [True, "1", None],
        [True, "1", None],  # 14 layers are 672 MiB, in one piece
        [True, None, "0.212"],  # which leave 228 of 900
        [False, None, None],  # nothing waits on the host
    ]


def test_memory_that_runs_out_in_the_probe_is_named_with_remedies(trainer: Trainer) -> None:
    failures = trainer.run_program("vram", "probes_that_do_not_fit")
    for (kind, message, hint), sentence in zip(
        failures,
        ("The longest row, 40 tokens, can't be trained: ", "The longest row, 30 tokens, can't be evaluated: "),
        strict=True,
    ):
        assert kind == "gpu_memory"
        assert sentence in message
        assert "GPU memory ran out (the limit is 3,000 MiB)" in message
        assert "model.offload_layers = " in hint
        assert " frees " in hint


def test_memory_that_runs_out_in_passes_that_auto_has_chosen_is_named_with_the_profile_s_own(trainer: Trainer) -> None:
    hint = trainer.run_program("vram", "remedy_of_larger_passes")
    assert 'training.packing = "pack" frees ' in hint
    assert "per_device_train_batch_size" not in hint


def test_a_probe_disturbs_nothing(trainer: Trainer) -> None:
    """Losses, gradient norms and learning rates to the last bit, with dropout, which draws from the random state."""

    def trained(name: str, **launch: Any) -> dict[int, tuple[float, ...]]:
        profile = demo_profile(training={"max_steps": 6}, lora={"lora_dropout": 0.1}, launch=launch)
        run = trainer.run(name, profile)
        assert trainer.train(run) == 0, run.log.read_text()
        probes = events(run, "probe")
        assert len(probes) == int(profile.launch.probe)
        assert all(probe["eval_tokens"] > probe["tokens"] for probe in probes)  # it packs more rows
        assert all(probe["step_seconds"] > 0 and probe["eval_seconds"] > 0 for probe in probes)  # both were timed
        assert events(run, "resolved")[0]["train_tokens"] > 10_000  # of the sample's 400 rows
        return losses(run)

    assert trained("probed") == trained("not-probed", probe=False)
