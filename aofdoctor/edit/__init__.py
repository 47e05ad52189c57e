"""Edits of an AOF: planned as values first, then written to new files, or in place in a way that can be undone.

May import check, log, server, aof, rdb and the shared vocabulary; output.diff_patch also imports diff.
Asking the user, printing and option names do not belong here, and neither does the examination of damage (check).
"""
