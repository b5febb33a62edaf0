"""A data set that is not here, and a network that is not there: one sentence, soon, and once for a whole sweep."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import minari
import pytest
from conftest import Launch
from huggingface_hub import constants

from rql.data.sources import network
from rql.data.sources.minari import open_minari
from rql.data.sources.network import check_network
from rql.utils.errors import DataError


class Missing(BaseHTTPRequestHandler):
    """Answers that nothing is there."""

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A place that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def nobody(monkeypatch: Any) -> str:
    """A place where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", place)
    return place


def no_download(id: str) -> None:
    raise AssertionError("it tries to fetch without a network")


def test_without_a_network_a_missing_set_is_said_at_once(nobody: str, data_root: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(minari, "download_dataset", no_download)
    began = time.monotonic()
    with pytest.raises(DataError) as error:
        open_minari("far/set-v0", True)
    assert time.monotonic() - began < 5.0
    for part in (str(data_root), nobody, "`minari download far/set-v0`", "dataset.download=false"):
        assert part in str(error.value)


def test_a_place_that_never_answers_is_not_waited_for(listening: socket.socket, monkeypatch: Any) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
    monkeypatch.setattr(network, "PATIENCE", 0.2)
    with pytest.raises(ConnectionError):
        check_network()


def test_any_answer_is_a_network(monkeypatch: Any) -> None:
    with HTTPServer(("127.0.0.1", 0), Missing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        check_network()
        server.shutdown()


def test_another_remote_is_not_asked(nobody: str, monkeypatch: Any) -> None:
    monkeypatch.setenv(network.REMOTE_VARIABLE, "gcp://somewhere")
    check_network()


def test_a_sweep_asks_once_and_before_any_job(
    nobody: str, data_root: Path, monkeypatch: Any, launch: Launch, capsys: Any
) -> None:
    asked: list[str] = []

    def ask() -> None:
        asked.append(nobody)
        check_network()

    monkeypatch.setattr("rql.data.sources.minari.check_network", ask)
    directory = launch("env=hopper", "dataset=minari", "dataset.id=far/set-v0", "seed=0,1", code=2, short=[])
    said = capsys.readouterr().err
    assert said.count("far/set-v0 is not in") == 1 == len(asked)
    assert not list(directory.glob("*/run.json"))
