"""The base of every room of the app: errors, clean text, folders, settings. It imports no other room."""
