"""Supervised fine-tuning with Unsloth and TRL, to be read from top to bottom: model, data, trainer, train, save."""

from __future__ import annotations

# isort: off
from unsloth import FastLanguageModel, is_bfloat16_supported  # first: it patches the libraries below

import torch
from transformers import PrinterCallback
from trl import SFTConfig
# isort: on

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training.contract import events as ev
from training.contract.failures import TrainingFailure, name_full_disk
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset import split
from training.dataset.rows import Rows
from training.finetune import packing, resolved
from training.finetune.adapter_saver import AdapterSaver
from training.finetune.all_callbacks import build_callbacks
from training.finetune.attempt import Attempt
from training.finetune.book_judge import prepare_book_judge
from training.finetune.deadline import Deadline
from training.finetune.failed_pass import PassFinder
from training.finetune.forecasted import resolve_offload_layers, resolve_packing
from training.finetune.gpu import Card
from training.finetune.modules import list_module_names, require_modules
from training.finetune.no_time import describe_end, end_without_step
from training.finetune.pinned import limit_pinned_memory
from training.finetune.probe import Probe
from training.finetune.ranks import Ranks, require_gpu
from training.finetune.samples import make_sampler
from training.finetune.sharding import NO_ANSWERS, convert_to_float32, gather_adapter
from training.finetune.time_limit import TimeLimit
from training.finetune.trackers import finish_at_end, make_trackers
from training.finetune.trainer import Trainer
from training.finetune.vram import VramLimit
from training.job.chosen_template import keep_template, set_chat_template
from training.job.examples import Examples, describe_other_reading, tokenise
from training.job.job import Job
from training.job.model import find_shape, hub_cache, read_config, resolve_source
from training.job.prompt import describe_rows
from training.job.token_helper import TokenHelper
from training.memory.module_names import ModuleNames

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def train(
    attempt: Attempt, job: Job, rows: Rows, card: Card | None, time_limit: TimeLimit, helper: TokenHelper | None
) -> ev.Event:
    """Fine-tune the model as `job` asks, within its time. `helper` may have tokenised the rows meanwhile. Returns the
    attempt's last event. Raises every error."""
    profile, emit, ranks = job.profile, attempt.events.emit, attempt.ranks
    started = time.monotonic()
    on_gpu = torch.cuda.is_available()
    ranks.join()
    require_gpu(profile, ranks)
    attempt.resume_from = ranks.share(attempt.resume_from)
    limit = VramLimit(profile, card, job.cache)
    limit.apply(loaded=False)

    # Model
    job = keep_template(job)
    attempt.report_loading(profile.model.name, 1)
    with ranks.main_first():  # it makes the demo's model
        source = resolve_source(profile.model.name, job.cache)
    config = read_config(source, profile.model.revision)
    if not attempt.resume_from and (names := ModuleNames.from_config(config)):
        require_modules(attempt, profile, names)
    shape = find_shape(config, profile)
    profile = resolve_packing(profile, shape, limit, ranks)
    profile = resolve_offload_layers(profile, shape, limit)
    if on_gpu and shape and (warning := limit_pinned_memory(profile, shape)):
        attempt.warn(warning)
    with (
        limit.explain_out_of_memory("loading", "The model can't be loaded", profile, shape),
        name_full_disk(hub_cache()),
    ):
        model, tokenizer = load_model(profile, source, job.config.chat_template)
        limit.apply(loaded=False)  # the CUDA context has grown while the model was loaded
        require_modules(attempt, profile, list_module_names(model))
        attempt.report_loading("the adapter", 2)
        model = add_adapter(model, profile)

    # Data
    eval_rows = split.choose_eval_rows(len(rows.rows), profile, rows.validation)
    with ranks.main_first():
        examples = tokenise(
            rows.rows,
            tokenizer,
            profile,
            eval_rows=eval_rows,
            progress=lambda done, detail: emit(
                ev.Phase(name="tokenising", detail=detail, done=done, total=len(rows.rows), unit="rows")
            ),
            cache=job.cache,
            wait=helper.wait if helper else None,
        )
    if count := len(examples.refused):
        first = next(iter(examples.refused.values()))
        attempt.warn(f"{count} row{'s are' if count > 1 else ' is'} left out. The first: {first}")
    for message, _ in examples.faults.explain():
        attempt.warn(message)
    if attempt.resume_from and (changed := describe_other_reading(job, examples)):
        attempt.warn(changed)
    if not examples.train:
        raise TrainingFailure(
            "bad_data",
            f"None of the {len(rows.rows)} rows has any part of its answer within the first "
            f"{profile.model.max_seq_length} tokens.",
            "Raise model.max_seq_length.",
        )

    # Trainer
    steps = split.count_steps(profile, len(examples.train))
    if sparse := split.find_sparse_logging(profile, steps.total):
        attempt.warn(f"{sparse.message} {sparse.remedy}")
    with limit.explain_out_of_memory("loading", "Training can't be prepared", profile, shape):
        trainer = build_trainer(profile, attempt.locate_run(), model, tokenizer, examples, steps, attempt.warn, ranks)
    trainer.find_home = lambda: attempt.locate_run().checkpoints
    limit.find_failed_pass = PassFinder(trainer, examples, rows, job.source)
    if profile.launch.probe:
        trainer.add_callback(Probe(trainer, examples, attempt, job, profile, shape, limit))
    if profile.is_sharded:
        attempt.warn(f"{NO_ANSWERS}: there are no samples and no pass rates.")
    sampler = make_sampler(attempt, profile, rows.rows, examples.refused, eval_rows)
    form = describe_rows(rows.rows, profile.dataset.system_prompt, examples.lengths)
    book_judge = prepare_book_judge(attempt, profile, rows.rows, eval_rows, form, model, tokenizer)

    # Train
    run, asks_book = attempt.locate_run(), book_judge is not None
    run_config, actual = resolved.record(job, run, profile, trainer, examples, rows, form, steps, asks_book=asks_book)
    emit(actual)
    save_adapter = AdapterSaver(attempt, profile, trainer, model, tokenizer, run_config, actual)
    deadline = Deadline(attempt, profile, time_limit, trainer, actual, save_adapter)
    trackers = make_trackers(attempt, profile, job.config)
    for callback in build_callbacks(attempt, profile, sampler, book_judge, card, deadline, form, limit, trackers):
        trainer.add_callback(callback)
    if done := ranks.share(end_without_step(attempt, job, time_limit) if ranks.is_main else None):
        return done  # loading took the rest of the time
    attempt.stop.can_save = True
    with limit.explain_out_of_memory("training", "Training stopped", profile, shape), finish_at_end(trackers):
        trainer.train(resume_from_checkpoint=str(attempt.resume_from) if attempt.resume_from else None)

    # Save
    if profile.is_sharded:
        with gather_adapter(model):
            adapter_step = save_adapter() if ranks.is_main else None
    elif ranks.is_main:
        adapter_step = save_adapter()
    if not ranks.is_main:
        return ev.Done(step=trainer.state.global_step)  # rank 0 says how the run ended
    if save_adapter.is_stopped:
        return attempt.make_stop_event()
    seconds = round(time.monotonic() - started, 1)
    reason = describe_end(time_limit, attempt.step, steps.total) if deadline.has_shortened_run else ""
    return ev.Done(step=attempt.step, seconds=seconds, adapter_step=adapter_step, reason=reason)


def load_model(
    profile: Profile, source: str, chat_template: str = ""
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base model, quantised as the profile asks, and its tokenizer, with the chat template that the profile
    chooses. `source` is a folder or a Hub id, `chat_template` the text of the template's file, if the run keeps it."""
    on_gpu = torch.cuda.is_available()
    settings = profile.model
    model, tokenizer = FastLanguageModel.from_pretrained(
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
    return model, set_chat_template(tokenizer, settings.chat_template, chat_template)


def add_adapter(model: PreTrainedModel, profile: Profile) -> PeftModel:
    """Freeze `model` and add the LoRA weights that the profile's table `lora` asks for: only these are trained."""
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


def build_trainer(
    profile: Profile,
    run: RunDirectory,
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    steps: split.Steps,
    warn: Callable[[str], None],
    ranks: Ranks | None = None,
) -> Trainer:
    """Set up TRL's trainer. `examples` are tokenised, cut and masked already, so TRL prepares nothing itself.

    Returns the trainer without callbacks of ours, with the adapter's weights in float32. It calls `warn` with a
    sentence when it leaves out a checkpoint.
    """
    training, evaluation = profile.training, profile.evaluation
    batch_size, accumulation_steps = training.per_device_train_batch_size, profile.process_accumulation_steps
    eval_batch_size = evaluation.per_device_eval_batch_size
    # The forecast's memory is for passes of this size.
    pass_sizes = profile.pass_rows, max(profile.pass_rows, eval_batch_size)
    pass_tokens, eval_pass_tokens = (rows * profile.model.max_seq_length for rows in pass_sizes)
    packed = training.packing != "off"
    if packed:  # the trainer gets all rows of a step at once, and many of an evaluation
        batch_size, accumulation_steps = profile.step_rows, 1
        eval_batch_size = max(eval_batch_size, packing.EVAL_ROWS)
    args = SFTConfig(
        output_dir=str(run.checkpoints),
        max_length=profile.model.max_seq_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation_steps,
        padding_free=packed,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=training.optim,
        gradient_checkpointing=bool(training.gradient_checkpointing),
        seed=training.seed,
        data_seed=training.seed,
        **choose_precision(profile),
        logging_steps=training.logging_steps,
        logging_nan_inf_filter=False,  # a NaN must show in the log, not be replaced
        include_num_input_tokens_seen="all" if packed else "non_padding",  # packed rows have no padding
        eval_strategy="steps" if examples.eval else "no",
        eval_steps=split.choose_eval_steps(profile, steps.total),
        per_device_eval_batch_size=eval_batch_size,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=split.choose_save_steps(profile, steps.total),
        save_total_limit=profile.checkpoints.save_total_limit,
        report_to="none",
        disable_tqdm=True,
        ddp_broadcast_buffers=False,  # they are the same on all ranks
    )
    trainer = Trainer(
        warn=warn,
        keep_best=bool(evaluation.patience),
        ranks=ranks or Ranks(),
        model=model,
        processing_class=tokenizer,
        args=args,
        train_dataset=packing.make_dataset(examples.train, profile.model.max_seq_length),
        eval_dataset=packing.make_dataset(examples.eval, profile.model.max_seq_length) if examples.eval else None,
    )
    trainer.is_sharded = profile.is_sharded
    if packed and packing.enable(trainer):
        trainer.pass_tokens, trainer.eval_pass_tokens = pass_tokens, eval_pass_tokens
    elif packed:
        kind = model.config.model_type
        warn(f"Rows of a model of type {kind} can't be packed, because Unsloth can't keep them apart. They are padded.")
        unpacked = profile.with_value("training.packing", "off")
        return build_trainer(unpacked, run, model, tokenizer, examples, steps, warn, ranks)
    trainer.remove_callback(PrinterCallback)
    # A resume loads the adapter in float32. Start in float32 too, or a resumed run differs from an uninterrupted one.
    for parameter in model.parameters():
        if parameter.requires_grad:
            convert_to_float32(parameter)
    return trainer


def choose_precision(profile: Profile) -> dict[str, Any]:
    """Return the two mixed-precision arguments of SFTConfig: bfloat16 where the device has it, else float16."""
    dtype = profile.model.dtype
    bf16 = dtype == "bfloat16" or (dtype == "auto" and is_bfloat16_supported())
    return {"bf16": bf16, "fp16": torch.cuda.is_available() and not bf16 and dtype != "float32"}
