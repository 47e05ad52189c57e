"""Every journey, each with one server that writes its layout."""

import shutil

import pytest

from tests.journeys import scenarios as scenarios
from tests.journeys.journey import JOURNEYS, Journey
from tests.support.servers import servers_by_line

_PREFERRED = ("redis-7.0", "valkey-9.1", "redis-6.2")


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="redis-cli is not installed: printed steps need it")
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.name)
def test_following_the_printed_steps_ends_in_what_they_promise(journey: Journey) -> None:
    servers = servers_by_line()
    names = [name for name in _PREFERRED if name in servers and journey.fits(servers[name])]
    if not names:
        pytest.skip("no server at hand writes this layout")
    journey.run(servers[names[0]])
