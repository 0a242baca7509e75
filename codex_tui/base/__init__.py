"""What every room of the app stands on: errors, clean text, folders, settings. It knows no other room."""
