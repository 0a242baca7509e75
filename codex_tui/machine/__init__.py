"""This machine: its GPU, its facts, and the memory that a profile needs on it."""
