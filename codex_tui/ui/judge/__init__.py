"""The screen that shows what a fine-tune was worth: the judgements of a run, and every question with both answers."""
