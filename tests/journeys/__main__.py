"""Run journeys with every server at hand: python -m tests.journeys [--server LINE]... [NAME]..."""

import argparse
import sys
import time

from tests.journeys import scenarios as scenarios
from tests.journeys.journey import JOURNEYS
from tests.support.servers import servers_by_line


def main() -> int:
    """Run what the command line names; return 1 if a journey fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.journeys", description=__doc__)
    parser.add_argument("--server", action="append", help="a release line, such as redis-7.0")
    parser.add_argument("-v", action="store_true", help="print the transcript of each failure")
    parser.add_argument("names", nargs="*", help="parts of names")
    arguments = parser.parse_args()
    failed = count = 0
    for line, binary in sorted(servers_by_line().items()):
        if arguments.server and line not in arguments.server:
            continue
        for journey in JOURNEYS:
            if not journey.fits(binary) or not (not arguments.names or any(n in journey.name for n in arguments.names)):
                continue
            start, outcome, transcript = time.monotonic(), "ok", ""
            try:
                journey.run(binary)
            except Exception as problem:  # A journey may fail in any way, and the others are run all the same.
                transcript = f"{type(problem).__name__}: {problem}"
                outcome, failed = f"FAILED  {transcript.splitlines()[-1][:150]}", failed + 1
            count += 1
            print(f"{line}  {journey.name}  {time.monotonic() - start:.1f} s  {outcome}", flush=True)
            if transcript and arguments.v:
                print(transcript, flush=True)
    print(f"{count - failed} passed, {failed} failed")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
