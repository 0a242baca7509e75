"""The screen that compares every max_seq_length: what it keeps of the rows, its memory and its time."""
