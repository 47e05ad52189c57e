"""Limits and command ids of the scanner, which splits AOF bytes into records; scan.h has the same values."""

UNKNOWN = 0  # the command id of a name that is not in the command table
ANNOTATION = 1  # the command id of an annotation, a line that begins with #
FIRST_ID = 2  # the command id of the first name in the command table
NAME_MAX = 24  # no command of any server has a longer name
RENAMED_NAME_MAX = 64  # names that rename-command gives can be longer: redis.conf shows one of 40 bytes
DIGITS_MAX = 18  # digits of a length, with leading zeros; 10**18 fits an int64
ARGC_MAX = 2**31 - 1  # the server's argc is a C int (aof.c, every version)
