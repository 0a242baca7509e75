"""A dataset from its name to rows that can be learned from: which files, what stands in them, and how it is read.

source   what a name means: files, folders, patterns, the shipped sample, a repository of the Hub
records  one file: JSONL, JSON, CSV or Parquet, a row at a time, with its line
shapes   one row: what is asked, what is answered, or why that can't be told
rows     all of it, for training
split    which rows are held out
"""
