"""Was it worth it? Asks a run's adapter and its base model the same questions, and says what can be concluded."""
