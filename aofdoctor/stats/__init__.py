"""`stats`: totals, histograms, the largest records and keys, and suspicious events of an AOF, in bounded memory.

May import `log`, `server`, `aof`, `rdb` and the shared vocabulary.  Verdicts and damage belong to `check`, tables and
JSON to `cli`.
"""
