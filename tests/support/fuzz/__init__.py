"""Inputs that are wrong in every way that we could think of, and what must hold for each of them."""
