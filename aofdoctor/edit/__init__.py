"""Edits of an AOF (strip, rewind, slice, repair, convert): first planned in memory, then written to disk.

An edit writes new files, or works in place in a way that can be undone. May import check, log, server, aof, rdb and
the modules aofdoctor/*.py; output.diff_patch also imports diff. Asking the user, printing and option names do not
belong here (cli), and neither does the examination of damage (check).
"""
