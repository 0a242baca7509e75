"""Who may import whom, seen from outside: in a process of its own, by what it has loaded."""

import shutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

MAKE_PARSER = "from codex_tui.commands.parser import make_parser; make_parser()"
HEAVY = ("torch", "unsloth", "transformers", "trl", "peft", "datasets", "bitsandbytes", "numpy")


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        MAKE_PARSER,
        "import codex_tui.ui.app, codex_tui.ui.cockpit.screen, codex_tui.ui.profiles.screen",
        "import codex_tui.launcher, codex_tui.runs.library, codex_tui.machine.gpu",
    ],
)
def test_the_app_never_loads_the_training_stack(code: str) -> None:
    assert not loaded_after(code) & set(HEAVY)


def test_the_commands_load_neither_textual_nor_pydantic() -> None:
    assert not loaded_after(MAKE_PARSER) & {"textual", "pydantic", "rich"}


def test_suggestions_and_completion_load_only_when_they_are_needed() -> None:
    loaded = loaded_after(MAKE_PARSER)
    assert not loaded & {"argcomplete", "difflib", "codex_tui.base.toml_text"}


def test_the_first_screen_waits_for_no_validation() -> None:
    assert "pydantic" not in loaded_after("import codex_tui.ui.app")


def test_the_first_paint_waits_for_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a start without runs and settings, only these modules are imported beside Textual."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    code = (
        "import codex_tui.cli, codex_tui.commands.open_app\n"
        "from codex_tui.base import bandwidth; bandwidth.choose(None)\n"
        "from codex_tui.runs.live import find_run_to_open; assert find_run_to_open() is None\n"
        "from codex_tui.ui.app import CodexApp; CodexApp().get_default_screen()"
    )
    late = {"argparse", "hashlib", "json", "psutil", "pydantic", "tomllib", "training.contract.events"}
    assert not loaded_after(code) & late


def test_the_contract_loads_no_terminal() -> None:
    code = "import training.contract.profile, training.contract.events, training.contract.run_directory"
    assert not loaded_after(code) & {"textual", "rich", "codex_tui", *HEAVY}


@pytest.mark.skipif(not (Path(__file__).parents[2] / "pyproject.toml").exists(), reason="needs the checkout")
def test_the_import_rules_hold() -> None:
    command = shutil.which("lint-imports") or str(Path(sys.executable).with_name("lint-imports"))
    done = subprocess.run([command], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_circle() -> None:
    """Imports inside functions and for type checking count, too."""
    graph = grimp.build_graph("codex_tui", "training", cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' → '.join(error.args[1])}")
