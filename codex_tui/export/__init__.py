"""Takes the model of a run elsewhere: merged, as GGUF or for Ollama, with a proof that it answers as the run does."""
