"""Judges a fine-tune: asks the adapter and its base model the same questions, and measures their losses."""
