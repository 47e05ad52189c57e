"""`check`: one examination of all parts of an AOF, the findings about it, and a load in a temporary server.

May import `log`, `server`, `aof`, `rdb` and the shared vocabulary.  Rendering a report belongs to `cli`, curing what it
finds to `edit`, and facts that other packages word too (such as the description of a flush) to `log`.
"""
