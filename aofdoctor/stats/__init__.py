"""Statistics of an AOF: totals, histograms, the largest commands and keys, suspicious events, in bounded memory.

May import `log`, `server`, `aof`, `rdb` and the shared modules.  Verdicts and damage belong to `check`, tables and JSON
to `cli`.
"""
