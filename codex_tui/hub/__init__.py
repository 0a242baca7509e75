"""The Hugging Face Hub: download, push, compare, cards."""
