"""The process that outlives a trainer. It waits, and records how the trainer ended."""
