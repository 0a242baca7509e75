"""The trainer: Unsloth, TRL and PEFT, in a process and an environment of its own.

`python -m training RUN` fine-tunes as `RUN/config.json` asks. The app may import only the rooms `contract`, `dataset`
and `memory`.
"""
