"""A plugin of pytest: the S3 server that the tests of a session share.

It is no conftest.py, since other tests import `conftest` and mean the one above.
"""

from collections.abc import Iterator

import pytest
from servers import S3, seaweed


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server
