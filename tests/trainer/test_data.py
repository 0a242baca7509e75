"""The one path from a row to what is learned gives the very tensors that TRL's own conversational path gives."""

from __future__ import annotations

from pathlib import Path

from support.training_runs import Trainer

COMPARE = """
    import json, sys
    from pathlib import Path
    from unsloth import FastLanguageModel
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from training.job import tokens as data, model
    from training.dataset.rows import read
    from training.dataset.source import local

    LENGTH = 40  # some answers are cut in part, some wholly
    rows = read(local(sys.argv[1])).rows
    folder = model.source("demo:llama", Path("cache"))
    net, tokenizer = FastLanguageModel.from_pretrained(folder, max_seq_length=LENGTH, load_in_4bit=False)
    net = FastLanguageModel.get_peft_model(net, r=2)

    def batches(dataset, **settings):
        trainer = SFTTrainer(
            model=net, processing_class=tokenizer, train_dataset=Dataset.from_list(dataset),
            args=SFTConfig(output_dir="compare", max_length=LENGTH, per_device_train_batch_size=4, seed=5,
                           report_to="none", **settings))
        return len(trainer.train_dataset), [
            {name: tensor.tolist() for name, tensor in batch.items()} for batch in trainer.get_train_dataloader()]

    examples = data.tokenise(rows, tokenizer, max_seq_length=LENGTH, system_prompt=None, evaluated=set(),
                             progress=lambda done: None)
    ours = batches(examples.train, dataset_kwargs={"skip_prepare_dataset": True})
    theirs = batches([{"prompt": row.messages[:-1], "completion": row.messages[-1:]} for row in rows])
    keys = ["input_ids", "labels", "attention_mask"]
    same = [[a[k] == b[k] for k in keys] for a, b in zip(ours[1], theirs[1], strict=True)]
    masked = sum(label == -100 for batch in ours[1] for row in batch["labels"] for label in row)
    print(json.dumps({"ours": ours[0], "theirs": theirs[0], "rows": len(rows), "same": all(map(all, same)),
                      "batches": len(same), "masked": masked, "dropped": examples.dropped,
                      "truncated": examples.truncated}))
"""


def test_batches_equal_those_of_trl(trainer: Trainer, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"instruction": "Who?", "response": "Rook."}\n'
        '{"instruction": "Say it all.", "response": "' + "one two three four five " * 20 + '"}\n'
        '{"instruction": "' + "why " * 80 + '", "response": "So."}\n'
        '{"messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi"}, '
        '{"role": "assistant", "content": "Ho"}, {"role": "user", "content": "And?"}, '
        '{"role": "assistant", "content": "  No. "}]}\n'
        '{"question": "Caf\\u00e9 \\ud83e\\udddf?", "answer": "<|eot_id|> [/INST] \\u00fc"}\n'
    )
    found = trainer.python_says(COMPARE, str(rows))
    assert found["same"]
    assert found["batches"] > 0
    assert found["ours"] == found["theirs"] == found["rows"] - found["dropped"]
    assert found["dropped"] >= 1
    assert found["truncated"] >= 1
    assert found["masked"] > 20


REFUSE = """
    import json
    from training.job import tokens as data, model
    from training.dataset.records import Record
    from training.dataset.shapes import row_of
    from training.demo import llama
    from training.contract.failures import TrainingFailure

    tokenizer = llama.build_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\\n{% endfor %}")
    rows = [row_of(Record(0, line, {"instruction": "Who?", "response": "Rook.", "system": system}))
            for line, system in enumerate(("", "Be brief.", ""), 1)]
    def tokenised(skip):
        found = data.tokenise(rows, tokenizer, max_seq_length=64, system_prompt=None, evaluated=set(),
                              progress=lambda done: None, skip_refused=skip)
        return [len(found.train), found.dropped, found.refused]
    try:
        tokenised(False)
    except TrainingFailure as failure:
        print(json.dumps([tokenised(True), failure.message]))
"""


def test_rows_that_the_template_refuses_end_the_run_or_are_left_out(trainer: Trainer) -> None:
    (trained, dropped, refused), message = trainer.python_says(REFUSE)
    assert message == "line 2: the model's chat template refuses this row: no system role."
    assert (trained, dropped, refused) == (2, 1, [message])
