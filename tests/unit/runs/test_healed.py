from __future__ import annotations

from codex_tui.runs.healed import describe_all_briefly, describe_briefly, describe_heal, summarise_heals
from training.contract import events as ev

REASON = "GPU memory ran out in step 5, at line 812 of rows.jsonl with 2,048 tokens."


def heal(field: str, before: object, after: object, *, step: int = 3) -> ev.Healed:
    return ev.Healed(
        kind="gpu_memory",
        reason=REASON,
        step=step,
        failed_step=5,
        changes={field: (before, after)},
        frees_mib=411.6,
    )


HANG = ev.Healed(
    kind="hang", reason="No step for 12 min where 4 s is usual; the card was idle.", step=120, failed_step=131
)


def test_a_heal_names_the_row_the_place_and_the_change() -> None:
    told = describe_heal(heal("training.gradient_checkpointing", True, "unsloth"))
    assert told == (
        f'{REASON} The run continues from step 3 with training.gradient_checkpointing true → "unsloth", which frees '
        "412 MiB."
    )
    assert describe_heal(heal("a.b", 1, 2, step=0)).partition(REASON)[2].startswith(" The run continues from the start")


def test_a_hang_changes_no_setting() -> None:
    assert describe_heal(HANG) == (
        "No step for 12 min where 4 s is usual; the card was idle. The run continues from step 120."
    )
    assert describe_briefly(HANG) == "hang"


def test_a_field_that_changed_twice_shows_its_first_and_its_last_value() -> None:
    heals = [heal("model.offload_layers", 0, 5), HANG, heal("model.offload_layers", 5, 9)]
    assert summarise_heals(heals) == "Healed 3 times: model.offload_layers 0 → 9, 1 hang."
    lost = ev.Healed(kind="driver", reason="The GPU or its driver stopped answering.")
    assert describe_briefly(lost) == "lost driver"
    assert summarise_heals([HANG, lost, lost, HANG]) == "Healed 4 times: 2 hangs, 2 lost drivers."
    assert summarise_heals([]) == ""
    assert describe_all_briefly(heals) == "offload_layers 0 → 9, 1 hang"
    assert describe_briefly(heals[0]) == "offload_layers 0 → 5"
