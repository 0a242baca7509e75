"""`python -m support.programs PROGRAM FUNCTION [ARGUMENT ...]`: prints the result as JSON on the last line."""

from __future__ import annotations

import importlib
import json
import sys

program, function, *arguments = sys.argv[1:]
module = importlib.import_module(f"support.programs.{program}")
print(json.dumps(getattr(module, function)(*arguments)))
