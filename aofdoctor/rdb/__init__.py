"""Read, decode, recover and rewrite RDB files, and RDBs at the start of AOF parts.

Inside, imports point down in this order: encoding; opcodes and header; compressed; walk; values; items, key_prefix,
key_counts and preamble; recovery, bulk, export and rewrite; outside, only the shared vocabulary may be imported.
What an AOF is and how RDBs and AOF parts belong together is the subject of aofdoctor.aof and does not belong here.
"""
