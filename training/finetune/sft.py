"""Supervised fine-tuning with Unsloth and TRL, top to bottom: model, data, trainer, train, save."""

from __future__ import annotations

# isort: off
from unsloth import FastLanguageModel, is_bfloat16_supported  # first: it patches what follows

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig
# isort: on

import time
from collections.abc import Callable
from typing import Any

from training.contract import events as ev
from training.contract.failures import TrainingFailure, writing
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.rows import Rows
from training.dataset.split import held_out, steps_of
from training.finetune import adapter, checkpoints, guards, offload, pinned, resolved
from training.finetune.attempt import Attempt
from training.finetune.callbacks import Question, Reporter, StopOnRequest
from training.finetune.gpu import Card
from training.finetune.probe import Probe
from training.finetune.trainer import Trainer
from training.finetune.vram import VramLimit
from training.job import model as models
from training.job import tokens
from training.job.job import Job


def train(attempt: Attempt, job: Job, rows: Rows, card: Card | None) -> ev.Event:
    """Fine-tunes as `job` says and returns the attempt's last event. Raises whatever goes wrong."""
    profile, run, emit = job.profile, attempt.run, attempt.events.emit
    started = time.monotonic()
    on_gpu = torch.cuda.is_available()
    if isinstance(profile.hardware.device, int) and not on_gpu:
        raise TrainingFailure(
            "bad_config",
            f"There is no GPU number {profile.hardware.device} that CUDA can use.",
            'hardware.device: `nvidia-smi -L` numbers them; "auto" takes the first, "cpu" does without.',
        )
    limit = VramLimit(profile, card, job.cache)
    limit.apply(loaded=False)

    # Model
    attempt.loading(profile.model.name, 1)
    source = models.source(profile.model.name, job.cache)
    shape = models.shape_of(source, profile)
    profile = offload.chosen(profile, shape, limit)
    if on_gpu and shape and (slow := pinned.prepare(profile, shape)):
        attempt.warn(slow)
    with limit.explained("The model can't be loaded", profile, shape), writing(models.hub_cache()):
        model, tokenizer = load(profile, source)
        limit.apply(loaded=False)  # the context has grown by now
        attempt.loading("the adapter", 2)
        model = with_adapter(model, profile)

    # Data
    examples = tokens.tokenise(
        rows.rows,
        tokenizer,
        max_seq_length=profile.model.max_seq_length,
        system_prompt=profile.dataset.system_prompt,
        evaluated=held_out(len(rows.rows), profile),
        progress=lambda done: emit(ev.Phase(name="tokenising", done=done, total=len(rows.rows), unit="rows")),
        skip_refused=profile.dataset.on_bad_rows == "skip",
    )
    if examples.refused:
        count = len(examples.refused)
        attempt.warn(f"{count} row{'s are' if count > 1 else ' is'} left out; the first: {examples.refused[0]}")
    if not examples.train:
        raise TrainingFailure(
            "bad_data",
            f"Not one of {len(rows.rows)} rows has any answer within {profile.model.max_seq_length} tokens.",
            "Raise model.max_seq_length.",
        )

    # Trainer
    steps = steps_of(profile, len(examples.train))
    reporter = Reporter(attempt, Question.of(profile, rows.rows), card)
    callbacks: list[TrainerCallback] = [
        reporter,
        guards.LossWatch(profile.training.stop_after_bad_steps),
        StopOnRequest(attempt),
    ]
    if profile.evaluation.patience and examples.eval:
        callbacks.append(guards.StopEarly(attempt, profile.evaluation.patience))
    if card and profile.hardware.pause_above_celsius:
        callbacks.append(guards.CoolDown(attempt, card, profile.hardware.pause_above_celsius))
    if profile.launch.probe:
        callbacks.insert(0, Probe(attempt, job, profile, shape, limit, card))
    trainer = build(profile, run, model, tokenizer, examples, steps, callbacks, attempt.warn)

    # Train
    emit(resolved.write(job, run, trainer, examples, rows, steps, profile.model.offload_layers))
    attempt.stop.can_save = True
    with limit.explained("The run can't go on", profile, shape):
        trainer.train(resume_from_checkpoint=str(attempt.resume_from) if attempt.resume_from else None)

    # Save
    emit(ev.Phase(name="saving", detail="adapter"))
    best = checkpoints.best_step(trainer.state.log_history) if profile.evaluation.patience else None
    kept = run.checkpoints / f"{checkpoints.PREFIX}{best}"
    takes_best = best and not attempt.stop.level and checkpoints.is_whole(kept)
    adapter.save(model, tokenizer, run.adapter, kept if takes_best else None)
    if attempt.stop.level and attempt.step < trainer.state.max_steps:
        return ev.Stopped(step=attempt.step)
    return ev.Done(step=attempt.step, seconds=round(time.monotonic() - started, 1))


def load(profile: Profile, source: str) -> tuple[Any, Any]:
    """The base model, quantised as the profile says, and its tokenizer. `source` is a folder or a Hub id."""
    on_gpu = torch.cuda.is_available()
    settings = profile.model
    return FastLanguageModel.from_pretrained(
        source,
        revision=settings.revision,
        max_seq_length=settings.max_seq_length,
        load_in_4bit=settings.load_in_4bit,
        dtype=None if settings.dtype == "auto" else getattr(torch, settings.dtype),
        use_gradient_checkpointing=profile.training.gradient_checkpointing,
        use_safetensors=True,
        trust_remote_code=False,
        **({"offload_layers": settings.offload_layers} if settings.offload_layers and on_gpu else {}),
        **({"offload_embedding": settings.offload_embedding} if on_gpu else {}),
    )


def with_adapter(model: Any, profile: Profile) -> Any:
    lora = profile.lora
    return FastLanguageModel.get_peft_model(
        model,
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        bias=lora.bias,
        target_modules=lora.target_modules,
        modules_to_save=lora.modules_to_save or None,
        use_rslora=lora.use_rslora,
        use_gradient_checkpointing=profile.training.gradient_checkpointing,
        random_state=profile.training.seed,
        max_seq_length=profile.model.max_seq_length,
    )


def build(
    profile: Profile,
    run: RunDirectory,
    model: Any,
    tokenizer: Any,
    examples: tokens.Examples,
    steps: tuple[int, int],
    callbacks: list[TrainerCallback],
    on_not_saved: Callable[[str], None] = print,
) -> Trainer:
    """TRL's trainer over `examples`, which are tokenised, cut and masked already."""
    training, evaluation = profile.training, profile.evaluation
    args = SFTConfig(
        output_dir=str(run.checkpoints),
        max_length=profile.model.max_seq_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.per_device_train_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=training.optim,
        gradient_checkpointing=bool(training.gradient_checkpointing),
        seed=training.seed,
        data_seed=training.seed,
        **_precision(profile),
        logging_steps=training.logging_steps,
        logging_nan_inf_filter=False,  # a NaN is to be seen
        include_num_input_tokens_seen="non_padding",
        eval_strategy="steps" if examples.eval else "no",
        eval_steps=evaluation.eval_steps or max(1, steps[1] // 10),
        per_device_eval_batch_size=evaluation.per_device_eval_batch_size,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=profile.checkpoints.save_steps or max(1, steps[1] // 5),
        save_total_limit=profile.checkpoints.save_total_limit,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        on_not_saved=on_not_saved,
        keep_best=bool(evaluation.patience),
        model=model,
        processing_class=tokenizer,
        args=args,
        train_dataset=Dataset.from_list(examples.train),
        eval_dataset=Dataset.from_list(examples.eval) if examples.eval else None,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    for callback in callbacks:
        if isinstance(callback, Probe):
            callback.trainer = trainer
            callback.longest = max(examples.train, key=lambda example: len(example["input_ids"]))
    for parameter in model.parameters():  # else a resume, which loads float32, drifts from an uninterrupted run
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer


def _precision(profile: Profile) -> dict[str, Any]:
    dtype = profile.model.dtype
    bf16 = dtype == "bfloat16" or (dtype == "auto" and is_bfloat16_supported())
    return {"bf16": bf16, "fp16": torch.cuda.is_available() and not bf16 and dtype != "float32"}
