"""aofdoctor show: print what is at one position of an AOF in full: a command, an annotation, an RDB key or damage."""

from typing import Annotated

import typer

from aofdoctor.cli import options
from aofdoctor.cli.console import print_line
from aofdoctor.cli.options import open_path
from aofdoctor.cli.views.show_json import print_content_json
from aofdoctor.cli.views.show_text import content_lines
from aofdoctor.log.locate import locate
from aofdoctor.log.position import parse_position

EPILOG = """\b
Examples:
  aofdoctor show appendonly.aof 2405                 the record at byte 2405
  aofdoctor show /var/lib/redis 7.incr@0x965         in one part of a set
  aofdoctor show /var/lib/redis 7.base@4711          the key of an RDB that byte 4711 belongs to
  aofdoctor show /var/lib/redis '#17'                the 17th command in load order
  aofdoctor show appendonly.aof 2405 --all           with every argument and byte

\b
Exit status: 0 shown; 1 it is damage; 2 no such position; 3 could not read; 130 interrupted."""


def show(
    path: options.PathArgument,
    at: Annotated[str, typer.Argument(metavar="POSITION", help="PART@1234, PART@0x4d2, or #17.")],
    around: Annotated[
        int, typer.Option("--around", "-C", metavar="N", min=0, max=options.LARGEST_COUNT, help="Neighbours to show.")
    ] = 3,
    show_all: Annotated[bool, typer.Option("--all", help="Show all arguments and bytes, however many.")] = False,
    json: options.JsonOption = False,
) -> None:
    """One record: arguments, bytes, database, transaction, time, neighbours.

    At most 64 arguments of 200 bytes and a dump of 4,096 bytes are shown, or
    everything with --all.  The part is read from its start to the position, so that the record is proven to be one.
    """
    with open_path(path) as aof:
        located = locate(aof, parse_position(at, aof), around)
        if json:
            print_content_json(located)
        else:
            for line in content_lines(aof, located, show_all):
                print_line(line)
        damaged = located.damage is not None
    raise typer.Exit(1 if damaged else 0)
