"""Units that both programs use."""

MIB = 2**20  # bytes
