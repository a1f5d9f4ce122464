"""Workflows switched on, each by its own request, with every fault named."""

from __future__ import annotations

import pytest

from pipeline.actions.client import ApiError
from pipeline.actions.enable import enable_workflows
from pipeline.errors import ConfigError

from ...github_server import Fault, GitHubServer
from .made_run import open_client


def test_each_workflow_is_switched_on() -> None:
    with GitHubServer() as server:
        server.workflows = {
            "capture.yml": "disabled_inactivity",
            "daily.yaml": "active",
            "other.yml": "disabled_manually",
        }
        said = list(enable_workflows(open_client(server), ["capture.yml", "daily.yaml"]))
        assert said == ["enabled capture.yml", "enabled daily.yaml"]
        assert server.workflows["capture.yml"] == "active"
        assert server.workflows["other.yml"] == "disabled_manually"


def test_one_that_is_missing_keeps_none_of_the_others_off() -> None:
    with GitHubServer() as server:
        server.workflows = {"daily.yml": "disabled_inactivity"}
        with pytest.raises(ApiError, match=r"^gone\.yml: .*HTTP 404: Not Found$"):
            list(enable_workflows(open_client(server), ["gone.yml", "daily.yml"]))
        assert server.workflows == {"daily.yml": "active"}


def test_a_busy_server_is_waited_for() -> None:
    with GitHubServer() as server:
        server.workflows = {"daily.yml": "disabled_inactivity"}
        server.fail("enable", Fault(503), Fault(0))
        assert list(enable_workflows(open_client(server), ["daily.yml"])) == ["enabled daily.yml"]


@pytest.mark.parametrize("name", ["", "daily", "../daily.yml", "a/b.yml", "a.yml?x", ".yml", "a.yml\n"])
def test_a_name_that_is_no_file_of_a_workflow_is_refused_before_anything_is_asked(name: str) -> None:
    with GitHubServer() as server, pytest.raises(ConfigError, match="expected the name of a workflow"):
        list(enable_workflows(open_client(server), ["daily.yml", name]))
    assert server.requests == []
