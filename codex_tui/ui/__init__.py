"""Everything that Textual draws. One folder a screen, with its panes beside it."""
