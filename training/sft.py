"""Supervised fine-tuning with Unsloth and TRL, top to bottom: model, data, trainer, train, save."""

from __future__ import annotations

# isort: off
from unsloth import FastLanguageModel, is_bfloat16_supported  # first: it patches what follows

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer
# isort: on

import time
from math import ceil
from typing import Any

from training import adapter, data, resolved
from training import model as models
from training.attempt import Attempt
from training.callbacks import Question, Reporter, StopOnRequest
from training.contract import events as ev
from training.contract.dataset_file import DatasetFile
from training.contract.profile import Profile
from training.failures import TrainingFailure
from training.job import Job


def train(attempt: Attempt, job: Job, rows: DatasetFile) -> ev.Event:
    """Fine-tunes as `job` says and returns the attempt's last event. Raises whatever goes wrong."""
    profile, run, emit = job.profile, attempt.run, attempt.events.emit
    started = time.monotonic()
    on_gpu = torch.cuda.is_available()
    _limit_memory(profile)

    # Model
    attempt.loading(profile.model.name, 1)
    model, tokenizer = FastLanguageModel.from_pretrained(
        models.source(profile.model.name, job.cache),
        revision=profile.model.revision,
        max_seq_length=profile.model.max_seq_length,
        load_in_4bit=profile.model.load_in_4bit,
        dtype=None if profile.model.dtype == "auto" else getattr(torch, profile.model.dtype),
        use_gradient_checkpointing=profile.training.gradient_checkpointing,
        use_safetensors=True,
        **({"offload_layers": profile.model.offload_layers} if profile.model.offload_layers and on_gpu else {}),
    )
    attempt.loading("the adapter", 2)
    model = FastLanguageModel.get_peft_model(
        model,
        r=profile.lora.r,
        lora_alpha=profile.lora.lora_alpha,
        lora_dropout=profile.lora.lora_dropout,
        bias=profile.lora.bias,
        target_modules=profile.lora.target_modules,
        modules_to_save=profile.lora.modules_to_save or None,
        use_rslora=profile.lora.use_rslora,
        use_gradient_checkpointing=profile.training.gradient_checkpointing,
        random_state=profile.training.seed,
        max_seq_length=profile.model.max_seq_length,
    )

    # Data
    examples = data.tokenise(
        rows.rows,
        tokenizer,
        max_seq_length=profile.model.max_seq_length,
        system_prompt=profile.dataset.system_prompt,
        evaluated=data.held_out(len(rows.rows), profile),
        progress=lambda done: emit(ev.Phase(name="tokenising", done=done, total=len(rows.rows), unit="rows")),
    )
    if not examples.train:
        raise TrainingFailure(
            "bad_data",
            f"Not one of {len(rows.rows)} rows has any answer within {profile.model.max_seq_length} tokens.",
            "Raise model.max_seq_length.",
        )

    # Trainer
    steps = _steps(profile, len(examples.train))
    args = SFTConfig(
        output_dir=str(run.checkpoints),
        max_length=profile.model.max_seq_length,
        dataset_kwargs={"skip_prepare_dataset": True},  # tokenised, cut and masked already
        num_train_epochs=profile.training.num_train_epochs,
        max_steps=profile.training.max_steps or -1,
        per_device_train_batch_size=profile.training.per_device_train_batch_size,
        gradient_accumulation_steps=profile.training.gradient_accumulation_steps,
        learning_rate=profile.training.learning_rate,
        lr_scheduler_type=profile.training.lr_scheduler_type,
        warmup_steps=profile.training.warmup_steps,
        weight_decay=profile.training.weight_decay,
        max_grad_norm=profile.training.max_grad_norm,
        optim=profile.training.optim,
        gradient_checkpointing=bool(profile.training.gradient_checkpointing),
        seed=profile.training.seed,
        data_seed=profile.training.seed,
        **_precision(profile, on_gpu),
        logging_steps=profile.training.logging_steps,
        logging_nan_inf_filter=False,  # a NaN is to be seen
        include_num_input_tokens_seen="non_padding",
        eval_strategy="steps" if examples.eval else "no",
        eval_steps=profile.evaluation.eval_steps or max(1, steps[1] // 10),
        per_device_eval_batch_size=profile.evaluation.per_device_eval_batch_size,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=profile.checkpoints.save_steps or max(1, steps[1] // 5),
        save_total_limit=profile.checkpoints.save_total_limit,
        report_to="none",
        disable_tqdm=True,
    )
    question = Question.of(profile, rows.rows)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        args=args,
        train_dataset=Dataset.from_list(examples.train),
        eval_dataset=Dataset.from_list(examples.eval) if examples.eval else None,
        callbacks=[Reporter(attempt, question), StopOnRequest(attempt)],
    )
    trainer.remove_callback(PrinterCallback)
    for parameter in model.parameters():  # else a resume, which loads float32, drifts from an uninterrupted run
        if parameter.requires_grad:
            parameter.data = parameter.data.float()

    # Train
    emit(resolved.write(job, run, trainer, examples, rows, steps))
    attempt.stop.can_save = True
    trainer.train(resume_from_checkpoint=str(attempt.resume_from) if attempt.resume_from else None)

    # Save
    emit(ev.Phase(name="saving", detail="adapter"))
    adapter.save(model, tokenizer, run.adapter)
    if attempt.stop.level and attempt.step < trainer.state.max_steps:
        return ev.Stopped(step=attempt.step)
    return ev.Done(step=attempt.step, seconds=round(time.monotonic() - started, 1))


def _limit_memory(profile: Profile) -> None:
    if profile.hardware.vram_limit_mib and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, profile.hardware.vram_limit_mib * 2**20 / total))


def _precision(profile: Profile, on_gpu: bool) -> dict[str, Any]:
    dtype = profile.model.dtype
    bf16 = dtype == "bfloat16" or (dtype == "auto" and is_bfloat16_supported())
    return {"bf16": bf16, "fp16": on_gpu and not bf16 and dtype != "float32"}


def _steps(profile: Profile, rows: int) -> tuple[int, int]:
    """Optimizer steps per epoch and in all, counted as `transformers.Trainer` does."""
    batches = ceil(rows / profile.training.per_device_train_batch_size)
    per_epoch = ceil(batches / profile.training.gradient_accumulation_steps)
    return per_epoch, profile.training.max_steps or ceil(per_epoch * profile.training.num_train_epochs)
