"""The trainer: real Unsloth, TRL and PEFT, in a process and an environment of its own.

`python -m training RUN` fine-tunes what `RUN/config.json` says. Only `training.contract` may be imported by the app.
"""
