"""Read, decode, recover and rewrite RDB files, and RDBs at the start of AOF files.

Inside the package, a module may import only from those before it in this order: encoding; opcodes and header;
compressed; walk; values; items, key_prefix, key_counts and preamble; recovery, bulk, export and rewrite.  Outside of
the package, only the shared modules such as source, span and damage may be imported.  What an AOF is, and how a base
file and incremental files belong together, is the subject of aofdoctor.aof and does not belong here.
"""
