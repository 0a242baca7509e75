"""Programs that tests run in processes of their own. There are two kinds.

- Modules with functions, for the training environment, since torch and Unsloth are only there. A test calls
  `Trainer.run_program("guards", "pause_for", argument)`: that runs the function `pause_for` of guards.py there and
  returns its result, which must be a JSON value. Each call is a process of its own, forked from one that has imported
  the libraries (support/program_server.py).
- Scripts that run whole: stand-ins for a trainer or a worker (`*_trainer.py`, `*_worker.py`), which a test gives to
  `fake_interpreter` or starts by `PROGRAMS / "name.py"`, and small commands.
"""

from pathlib import Path

PROGRAMS = Path(__file__).parent
