"""The demo: a tiny model that is built here, and the sample dataset that it learns."""
