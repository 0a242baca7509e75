"""The training environment `codex-train`: its pinned packages, and how uv builds it."""
