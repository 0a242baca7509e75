"""Downloads from the Hugging Face Hub, pushes to it, compares with it, and writes cards."""
