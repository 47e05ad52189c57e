"""Methods that restore damaged bytes of an AOF where the file itself proves what the bytes were.

May import edit/drops.py, aof, server, rdb and the modules aofdoctor/*.py. Dropping bytes does not belong here
(salvage), and neither does any guess that the bytes do not prove.
"""
