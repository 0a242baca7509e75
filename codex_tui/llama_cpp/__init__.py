"""Programs of others that run a model: llama.cpp's server."""
