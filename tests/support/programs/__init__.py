"""Programs that tests run in the training environment, since torch and Unsloth are only there.

A test calls `Trainer.run_program("guards", "pause_for", argument)`: that runs the function `pause_for` of guards.py in
a process of its own and returns its result, which must be a JSON value.
"""
