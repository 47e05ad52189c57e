"""The numbers that the scanner, its plain twin and their readers agree on; scan.h has them too."""

UNKNOWN = 0  # the id of a name that no server knows
ANNOTATION = 1  # the id of an annotation
FIRST_ID = 2  # the id of the first name
NAME_MAX = 24  # no command of any server has a longer name
DIGITS_MAX = 18  # leading zeros included; 10**18 fits an int64
ARGC_MAX = 2**31 - 1  # the server's argc is a C int (aof.c, every version)
