"""Profiles as files: find, read, resolve over a parent, check, and edit while every other byte stays."""
