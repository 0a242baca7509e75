"""The widgets that all screens share: painted widgets, lists, charts and dialogs."""
