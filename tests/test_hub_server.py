"""The Hub of the tests answers the real clients as the real one does, as far as this project asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi, HfFileSystem, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from .hub_server import READ_TOKEN, TOKEN, Fault, HubServer

FILES = {"config.json": b"{}", "hello.txt": b"hello\n", "sub/part/model.safetensors": bytes(range(200))}
HELLO = "ce013625030ba8dba906f756967f9e9ca394464a"
"""What `git hash-object` says of hello.txt."""


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add("made/open", FILES)
        server.add("made/secret", FILES, private=True)
        yield server


def client(hub: HubServer, token: str | bool = False) -> HfApi:
    return HfApi(hub.url, token)


def test_a_snapshot_is_what_was_put_there(hub: HubServer, tmp_path: Path) -> None:
    (revision,) = hub.revisions("made/open")
    place = Path(snapshot_download("made/open", revision=revision, endpoint=hub.url, cache_dir=tmp_path))
    assert place.name == revision
    assert {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()} == FILES


def test_files_are_listed_with_the_hashes_of_git_and_of_lfs(hub: HubServer) -> None:
    found = {one.path: one for one in client(hub).list_repo_tree("made/open", recursive=True)}
    assert set(found) == {*FILES, "sub", "sub/part"}
    assert (found["hello.txt"].blob_id, found["hello.txt"].size, found["hello.txt"].lfs) == (HELLO, 6, None)
    assert found["sub/part/model.safetensors"].lfs.size == 200
    assert [one.path for one in client(hub).list_repo_tree("made/open", "sub")] == ["sub/part"]
    assert [one.path for one in client(hub).get_paths_info("made/open", ["sub", "none", "hello.txt"])] == [
        "sub",
        "hello.txt",
    ]


def test_a_range_is_a_part_of_the_file(hub: HubServer) -> None:
    files = HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True)
    assert files.cat_file("made/open/sub/part/model.safetensors", 10, 14) == bytes([10, 11, 12, 13])
    assert files.cat_file("made/open/hello.txt", 1, 3) == b"el"


def test_what_is_not_there_has_the_name_the_client_knows(hub: HubServer) -> None:
    with pytest.raises(RepositoryNotFoundError):
        client(hub).model_info("made/none")
    with pytest.raises(RepositoryNotFoundError):
        client(hub, READ_TOKEN).dataset_info("made/open")
    with pytest.raises(RevisionNotFoundError):
        client(hub).model_info("made/open", revision="0" * 40)
    with pytest.raises(EntryNotFoundError):
        client(hub).hf_hub_download("made/open", "none.json")


def test_private_repositories_and_writing_need_their_token(hub: HubServer) -> None:
    with pytest.raises(RepositoryNotFoundError):
        client(hub).model_info("made/secret")
    assert client(hub, READ_TOKEN).model_info("made/secret").private
    assert client(hub, TOKEN).whoami()["name"] == "made"
    for token, status in ((False, 401), ("hf_wrong", 401), (READ_TOKEN, 403)):
        with pytest.raises(HfHubHTTPError) as refusal:
            client(hub, token).create_repo("made/new")
        assert refusal.value.response.status_code == status
    assert hub.revisions("made/new") == []


def test_commits_hold_content_and_an_old_parent_is_refused(hub: HubServer) -> None:
    api = client(hub, TOKEN)
    api.create_repo("made/written")
    first = str(api.model_info("made/written").sha)
    body = {"key": "header", "value": {"summary": "one"}}, {"key": "deletedFile", "value": {"path": "none.json"}}
    assert first == hub.revisions("made/written")[0]
    url, headers = f"{hub.url}/api/models/made/written/commit/main", {"Authorization": f"Bearer {TOKEN}"}
    data = "\n".join(map(json.dumps, body))
    assert requests.post(url, data=data, headers=headers, timeout=5).status_code == 400
    stale = json.dumps({"key": "header", "value": {"summary": "two", "parentCommit": "0" * 40}})
    assert requests.post(url, data=stale, headers=headers, timeout=5).status_code == 412
    assert hub.revisions("made/written") == [first]


def test_faults_come_in_order_and_once(hub: HubServer) -> None:
    hub.fail("info", Fault(500), Fault(429, retry_after="3"))
    seen = []
    for _ in range(2):
        with pytest.raises(HfHubHTTPError) as refusal:
            client(hub).model_info("made/open")
        response = refusal.value.response
        seen.append((response.status_code, response.headers.get("Retry-After")))
    assert seen == [(500, None), (429, "3")]
    assert client(hub).model_info("made/open").sha == hub.revisions("made/open")[0]


def test_datasets_reads_a_set_at_its_commit(hub: HubServer, tmp_path: Path) -> None:
    revision = hub.add(
        "made/set", {"train.csv": b"text,label\nhello,1\n", "test.csv": b"text,label\nbye,0\n"}, "dataset"
    )
    hub.add("made/set", {"train.csv": b"text,label\nlater,0\n"}, "dataset")
    code = f"import datasets; print(datasets.load_dataset('made/set', revision={revision!r})['train'][0])"
    places = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **places}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "{'text': 'hello', 'label': 1}"
