"""The fine-tune itself: `sft.py` reads top to bottom like an example script; the files around it serve it."""
