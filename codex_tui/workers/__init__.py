"""Processes of the training environment that answer the app over two pipes."""
