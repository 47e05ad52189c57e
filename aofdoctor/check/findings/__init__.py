"""The findings of `check`, one module for each subject: damage, flushes, files, replay, unknown commands and so on.

May import `check/report` and the results that it holds, `log`, `server`, `aof`, `rdb` and the shared vocabulary.
Reading the AOF (check/examine.py) and rendering findings (cli) do not belong here.
"""
