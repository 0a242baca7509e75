"""Reads run directories for the app and the commands: lists and follows runs, and explains how they ended."""
