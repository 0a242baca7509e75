"""The history of a run, rebuilt from its events. Nothing here needs torch or the terminal.

state     the state of a run, from its events alone
series    the loss curve as columns of numbers
values    the values beside the loss, one for each point of the curve
points    events that only a reader uses
tailer    follows events.jsonl while it grows
columns   keeps state and curve in RUN/history, so that a viewer need not parse a million events
recorder  writes RUN/history while the run trains
"""
