"""Units that both programs count in."""

MIB = 2**20  # bytes
