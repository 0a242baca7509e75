"""The processes that answer the app over two pipes: chat with the adapter, and dataset rows as the model sees them."""
