"""What would stop the pictures of others is closed until the operator opens it."""

import pytest

from guardrail.errors import ConfigError
from guardrail.upstream.a1111 import A1111
from guardrail.upstream.dialect import Door, Setup

CONTROLS = ("interrupt", "skip", "reload-checkpoint", "unload-checkpoint")


@pytest.mark.parametrize("opened", CONTROLS)
def test_what_reaches_the_jobs_of_everybody_is_closed_until_the_operator_opens_it(opened):
    dialect = A1111.open(Setup(options={"controls": [opened]}))
    for name in CONTROLS:
        path = f"/sdapi/v1/{name}"
        assert A1111().door("POST", path) is A1111.open(Setup()).door("POST", path) is Door.CLOSED
        assert dialect.door("POST", path) is (Door.PASSED if name == opened else Door.CLOSED)
        assert dialect.door("GET", path) is dialect.door("POST", f"/{name}") is Door.CLOSED
    assert dialect.door("POST", "/sdapi/v1/refresh-loras") is Door.PASSED
    assert dialect.door("POST", "/sdapi/v1/server-kill") is Door.CLOSED


@pytest.mark.parametrize("wrong", ["interrupt", ["interupt"], ["server-kill"], [["skip"]], {"skip": True}, True])
def test_a_control_that_there_is_not_stops_the_start(wrong):
    with pytest.raises(ConfigError, match=r"a1111: controls must be a list out of interrupt, reload-checkpoint, skip"):
        A1111.open(Setup(options={"controls": wrong}))
