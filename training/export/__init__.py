"""Merges an adapter into its base model, and asks an exported model the questions of its proof."""
