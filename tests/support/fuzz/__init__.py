"""Broken and hostile inputs of every kind, and the checks that must hold for each of them."""
