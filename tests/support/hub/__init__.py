"""A Hugging Face Hub on the loopback, and a user at a shell who uses it."""
