"""`python -m codex_tui` is `codex-tui`."""

import sys

from codex_tui.cli import main

sys.exit(main())
