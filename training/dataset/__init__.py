"""Reads a dataset, from its name to rows that a model can learn from. Nothing here needs torch.

source      finds the files of a dataset: a file, a folder, a pattern, the shipped sample, a repository of the Hub
records     reads the rows of one file (JSONL, JSON, CSV or Parquet), each with its line number
shapes      reads one row: the question and the answer, or the reason why it is bad
rows        reads all rows of a dataset, for training
split       chooses the rows held out for evaluation, and counts optimizer steps
lines       finds where each row of a JSONL file begins
index       gives any row of a dataset by its position
scan        finds bad rows and duplicates in one pass over all rows
duplicates  finds rows that are equal or nearly equal
lengths     holds how many tokens each row has
kept        keeps results in the cache
book        reads a question book, and finds everything that is wrong with it
marks       marks an answer: the conditions of its question, and chrF
patterns    searches with regular expressions that may need too long
"""
