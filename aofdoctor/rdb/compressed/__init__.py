"""Read RDBs that Valkey 9.2 has compressed as a whole, as a stream of LZ4 or Zstd.

May import rdb.header and the sources.
What the decompressed bytes mean does not belong here.
"""
