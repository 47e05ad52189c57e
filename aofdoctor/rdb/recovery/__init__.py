"""Read an RDB past damage: find where keys begin again, and salvage the keys before and after.

Also holds a Bloom filter for duplicate key names.  May import every module of rdb except bulk, export and rewrite.
Writing a repaired file does not belong here; that is aofdoctor.edit.
"""
