"""The profile picker."""
