"""How much memory a run needs: the forecast, the remedies, the model's shape, and what probes measured. No torch."""
