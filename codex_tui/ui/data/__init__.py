"""The data screen: rows, overview, filters."""
