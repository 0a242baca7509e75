"""Processes killed at random points, connections that break, and checks of what is left."""
