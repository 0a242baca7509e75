"""A Hugging Face Hub on the loopback, and a person at a shell who uses it."""
