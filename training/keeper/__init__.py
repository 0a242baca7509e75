"""The keeper: the light process that owns a run's attempts. It starts each trainer, and decides what comes after it.

Nothing here imports torch or pydantic. keeper.py has the loop, `decisions.py` what comes after an attempt, and
`watchers.py` what the loop looks at every few seconds.
"""
