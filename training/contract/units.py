"""Units that both programs use."""

MIB = 2**20  # bytes
LENGTH_STEP = 64  # tokens; every max_seq_length that is advised is a multiple of it


def round_up_length(tokens: int) -> int:
    """Return the shortest advised max_seq_length that cuts no row of `tokens` tokens."""
    return -(-tokens // LENGTH_STEP) * LENGTH_STEP
