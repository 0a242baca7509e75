"""A field for a dataset. It completes paths, and suggests files and the datasets of earlier runs."""

from __future__ import annotations

from codex_tui.ui.kit.suggesting_input import SuggestingInput, Suggestions


class DatasetInput(SuggestingInput):
    def __init__(self, value: str, suggestions: Suggestions, placeholder: str) -> None:
        super().__init__(value, suggestions, placeholder, id="dataset")
        self._recent: list[str] | None = None  # None until they are listed

    def suggest(self, text: str) -> list[str]:
        from codex_tui.data.suggest import list_recent_datasets, suggest_datasets

        if self._recent is None:
            self._recent = list_recent_datasets()
        return suggest_datasets(text, self._recent)
