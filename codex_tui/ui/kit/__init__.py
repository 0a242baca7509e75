"""The toolkit under all screens: painted widgets, lists, charts, dialogs."""
