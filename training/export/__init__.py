"""Merges an adapter into its base model, writes GGUF files, and asks an exported model the questions of its proof."""
