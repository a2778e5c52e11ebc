"""The tests are run against a server that is there: scripts/python-client starts one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attention_server import Client

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))


@pytest.fixture(scope="session")
def url() -> str:
    found = os.environ.get("ATTENTION_SERVER_URL")
    if not found:
        pytest.fail("set ATTENTION_SERVER_URL: these tests ask a server")
    return found


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as made:
        yield made
