"""Forecasts how much memory and disk a run needs, and finds changes that reduce it. Nothing here needs torch."""
