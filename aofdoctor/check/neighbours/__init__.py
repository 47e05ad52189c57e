"""Judge the files beside an AOF and the generations of its own files: what each holds, and which set is the best one.

May import the rest of `check` except its findings, and everything below `check`.  Wording for the user belongs to
check/findings/neighbours.py, and making a set from the files that were chosen belongs to `edit`.
"""
