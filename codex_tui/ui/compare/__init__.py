"""The comparison of several runs: their curves in one chart, and a table of results and settings that differ."""
