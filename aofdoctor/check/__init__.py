"""The verb `check`: examine all files of an AOF once, report findings about it, and load it in a temporary server.

May import `log`, `server`, `aof`, `rdb` and the shared vocabulary.  Rendering a report belongs to `cli`, curing what it
finds to `edit`, and facts that other packages word too (such as the description of a flush) to `log`.
"""
