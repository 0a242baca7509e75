"""Profile files: finds, reads, resolves, checks and edits them. An edit leaves every other byte as it is."""
