"""Judge which data the files near an AOF hold, and which base and incremental files make the best set.

These are temporary files, dump.rdb, history files and files that the manifest does not list.

May import the rest of `check` except its findings, and everything below `check`.  Wording for the user belongs to
check/findings/neighbours.py, and making a set from the files that were chosen belongs to `edit`.
"""
