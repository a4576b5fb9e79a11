import contextlib
import socket

import pytest


@pytest.fixture
def local_addresses():
    """A function that finds addresses on this machine which nothing listens at."""

    def find(count):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]

    return find
