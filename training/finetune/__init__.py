"""The fine-tune. `sft.py` reads from top to bottom like an example script; the other files are its parts."""
