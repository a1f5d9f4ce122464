"""Publishing: a whole, checked folder becomes one commit, or the repository stays as it was and one line says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from pipeline.errors import PipelineError
from pipeline.export import export_model
from pipeline.hub import pull_snapshot
from pipeline.model_folder import check_hashes, read_json, read_model_folder, write_provenance
from tests.hub_login import PREFIX
from tests.hub_server import READ_TOKEN, TOKEN, Fault, HubServer
from tests.pipeline.conftest import hub_cache
from tests.pipeline.made_model import make_base, make_run, seal_run, serve_model, write_parity_set
from training.__main__ import main
from training.patience import Patience, PublishError
from training.publish import publish_run
from training.publish_verb import publish as publish_by

NAME = "made/adapter"
cache = hub_cache


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("publish") / "base")


@pytest.fixture(scope="module")
def made_run(base: Path) -> Path:
    run = make_run(base.parent / "made-seed1", base)
    (run / "predictions.csv").write_text("split,id\n")
    seal_run(run, base)
    return run


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """A run folder that a test may spoil."""
    return Path(shutil.copytree(made_run, tmp_path / "made-seed1"))


@pytest.fixture
def hub(cache: None) -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def own_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The Hub as one that the client takes for its own, as HF_ENDPOINT would have it, while it uploads."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    return hub


class Pause:
    """Waits no time and remembers how long it should have been; jitter is always at its largest."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits: list[float] = []
        self.patience = Patience(sleep=self.waits.append, draw=lambda: 1.0)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Pause:
    return Pause(monkeypatch)


def publish(run: Path, hub: HubServer, pause: Pause, token: str = TOKEN, private: bool = False) -> str:
    return publish_run(run, NAME, private, hub.url, token, pause.patience)


def edit(run: Path, name: str, change: Callable[[dict], None], base: Path) -> None:
    """Change a JSON file of the run and seal it anew, as a run that was written like that would be."""
    content = read_json(run / name)
    change(content)
    (run / name).write_text(json.dumps(content))
    seal_run(run, base)


def test_a_run_becomes_one_commit_of_every_file_but_its_predictions(run: Path, hub: HubServer, pause: Pause) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    revision = publish(run, hub, pause)
    assert hub.revisions(NAME)[1:] == [revision]
    held = hub.files(NAME, revision)
    assert held.keys() - {".gitattributes"} == (before.keys() - {"predictions.csv"}) | {"README.md"}
    for name in before.keys() - {"predictions.csv", "provenance.json"}:
        assert held[name] == before[name]
    assert hub.repositories["model", NAME].head.files["adapter_model.safetensors"].is_lfs
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert pause.waits == []


def test_what_is_published_is_pulled_whole_and_exported(
    run: Path, base: Path, hub: HubServer, pause: Pause, tmp_path: Path
) -> None:
    serve_model(hub, base)
    revision = publish(run, hub, pause)
    pulled = pull_snapshot(NAME, revision, hub.url)
    check_hashes(pulled, read_json(pulled / "provenance.json"), ("README.md", "adapter_model.safetensors"))
    report = export_model(NAME, revision, tmp_path / "model", write_parity_set(tmp_path / "parity.csv"), hub.url)
    assert read_model_folder(report.folder).revision == revision


def test_the_same_folder_published_again_is_the_same_commit(run: Path, hub: HubServer, pause: Pause) -> None:
    assert publish(run, hub, pause) == publish(run, hub, pause)
    assert hub.stages().count("commit") == 1
    assert len(hub.revisions(NAME)) == 2


def test_a_later_run_takes_the_place_of_the_earlier_one_whole(
    run: Path, base: Path, hub: HubServer, pause: Pause
) -> None:
    (run / "old_notes.json").write_text("{}")
    seal_run(run, base)
    first = publish(run, hub, pause)
    (run / "old_notes.json").unlink()
    edit(run, "metrics.json", lambda metrics: metrics.update(wall_s=99.0), base)
    second = publish(run, hub, pause)
    assert hub.revisions(NAME)[1:] == [first, second]
    assert hub.files(NAME, first).keys() - hub.files(NAME, second).keys() == {"old_notes.json"}
    assert json.loads(hub.files(NAME, second)["metrics.json"])["wall_s"] == 99.0
    assert hub.stages().count("put") == 1  # the weights were there already


@pytest.mark.parametrize("part_bytes", [1_000, 5_000_000])
def test_weights_arrive_in_one_piece_however_they_are_sent(
    run: Path, cache: None, pause: Pause, part_bytes: int
) -> None:
    with HubServer(part_bytes) as hub:
        revision = publish(run, hub, pause)
        weights = (run / "adapter_model.safetensors").read_bytes()
        assert hub.files(NAME, revision)["adapter_model.safetensors"] == weights
        assert hub.stages().count("part") == (-(-len(weights) // part_bytes) if part_bytes < len(weights) else 0)


@pytest.mark.parametrize(
    ("stage", "faults", "waits"),
    [
        ("create", [Fault(429, retry_after="7")], [7.0]),
        ("create", [Fault(503), Fault(0)], [2.0, 4.0]),
        ("info", [Fault(500)], [2.0]),
        ("preupload", [Fault(500)], [2.0]),
        ("preupload", [Fault(429, retry_after="30"), Fault(502)], [30.0, 4.0]),
        ("batch", [Fault(500)], [2.0]),
        ("put", [Fault(429, retry_after="3")], [3.0]),
        ("put", [Fault(500)], []),  # the client itself tries a PUT again
        ("put", [Fault(0)], []),
        ("put", [Fault(500)] * 6, [2.0]),  # six are more than it has patience for
        ("verify", [Fault(500)], [2.0]),
        ("commit", [Fault(500)], [2.0]),
        ("commit", [Fault(0)], [2.0]),
        ("commit", [Fault(500, after=True)], [2.0]),  # the commit was made, the answer lost
        ("commit", [Fault(0, after=True)], [2.0]),
        ("tree", [Fault(504)], [2.0]),
    ],
    ids=lambda value: (
        str(value[0].status or "drop") + "-late" * value[0].after
        if isinstance(value, list) and value and isinstance(value[0], Fault)
        else None
    ),  # fmt: skip  # noqa: E501
)
def test_a_fault_that_passes_is_waited_out(
    run: Path, hub: HubServer, pause: Pause, stage: str, faults: list[Fault], waits: list[float]
) -> None:
    hub.fail(stage, *faults)
    revision = publish(run, hub, pause)
    assert hub.revisions(NAME)[1:] == [revision]
    assert pause.waits == waits


@pytest.mark.parametrize(
    ("stage", "faults", "message"),
    [
        ("preupload", [Fault(500)] * 5, "HTTP 500 made to fail at try 5; nothing is half-published"),
        ("put", [Fault(500)] * 30, "HTTP 500 made to fail at try 5; nothing is half-published"),
        ("commit", [Fault(500)] * 5, "HTTP 500 made to fail at try 5; nothing is half-published"),
        ("commit", [Fault(0)] * 5, "no answer (ConnectionError) at try 5; nothing is half-published"),
        ("preupload", [Fault(429, retry_after="301")], "HTTP 429 made to fail at try 1, to wait 301 s"),
        ("commit", [Fault(400)], "HTTP 400 made to fail at try 1"),
    ],
    ids=["preupload", "put", "commit", "dropped", "long wait", "refused"],
)
def test_a_fault_that_stays_leaves_nothing_and_a_second_try_succeeds(
    run: Path, hub: HubServer, pause: Pause, stage: str, faults: list[Fault], message: str
) -> None:
    hub.fail(stage, *faults)
    with pytest.raises(PublishError) as refusal:
        publish(run, hub, pause)
    assert str(refusal.value).startswith(f"{NAME}: {message}")
    assert str(refusal.value).endswith("the same command may be run again")
    assert "\n" not in str(refusal.value)
    assert set(hub.files(NAME)) == {".gitattributes"}
    revision = publish(run, hub, pause)
    assert hub.revisions(NAME)[1:] == [revision]


@pytest.mark.parametrize(
    ("token", "status"), [("hf_made_up_and_wrong", "HTTP 401"), (READ_TOKEN, "HTTP 403")], ids=["wrong", "reader's"]
)
def test_a_bad_token_is_one_line_that_does_not_show_it(
    run: Path, hub: HubServer, pause: Pause, capfd: pytest.CaptureFixture[str], token: str, status: str
) -> None:
    with pytest.raises(PublishError) as refusal:
        publish(run, hub, pause, token)
    assert str(refusal.value).startswith(f"{NAME}: {status} ")
    assert str(refusal.value).endswith("; set HF_TOKEN, or run `hf auth login`")
    assert "\n" not in str(refusal.value)
    assert token not in str(refusal.value) + "".join(capfd.readouterr())
    assert hub.revisions(NAME) == []
    assert pause.waits == []


def test_without_any_token_the_hub_is_not_asked(
    run: Path, hub: HubServer, pause: Pause, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PublishError, match=r"made/adapter: no token; set HF_TOKEN"):
        publish_run(run, NAME, False, hub.url, None, pause.patience)
    assert not hub.requests


def test_somebody_elses_commit_is_never_overwritten(run: Path, hub: HubServer, pause: Pause) -> None:
    hub.fail("commit", Fault(500, before=lambda: hub.add(NAME, {"theirs.json": b"{}"})))
    with pytest.raises(PublishError, match="somebody else committed [0-9a-f]{40} meanwhile; nothing of it"):
        publish(run, hub, pause)
    assert hub.files(NAME) == {"theirs.json": b"{}"}


def test_a_commit_made_between_two_tries_is_never_overwritten(run: Path, hub: HubServer, pause: Pause) -> None:
    hub.fail("preupload", Fault(500, before=lambda: hub.add(NAME, {"theirs.json": b"{}"})))
    with pytest.raises(PublishError, match="somebody else committed"):
        publish(run, hub, pause)
    assert hub.files(NAME) == {"theirs.json": b"{}"}


def test_private_is_private(run: Path, hub: HubServer, pause: Pause) -> None:
    publish(run, hub, pause, private=True)
    assert hub.repositories["model", NAME].is_private
    with pytest.raises(RepositoryNotFoundError):
        HfApi(hub.url, token=False).model_info(NAME)
    assert HfApi(hub.url, READ_TOKEN).model_info(NAME).private


def test_private_is_refused_where_the_repository_is_public(run: Path, hub: HubServer, pause: Pause) -> None:
    hub.add(NAME, {"config.json": b"{}"})
    with pytest.raises(PublishError, match="exists and is public; make it private on the Hub, or leave --private out"):
        publish(run, hub, pause, private=True)
    assert len(hub.revisions(NAME)) == 1


def test_the_client_at_its_own_hub_publishes_the_same_commit(run: Path, own_hub: HubServer, pause: Pause) -> None:
    revision = publish(run, own_hub, pause)
    assert own_hub.revisions(NAME)[1:] == [revision]


def test_what_arrives_damaged_is_noticed(run: Path, own_hub: HubServer, pause: Pause) -> None:
    def spoil() -> None:
        for oid in own_hub.objects:
            own_hub.objects[oid] = b"spoilt"

    own_hub.fail("commit", Fault(500, before=spoil))
    with pytest.raises(PublishError, match="adapter_model.safetensors is not what was sent"):
        publish(run, own_hub, pause)


def unfinish(run: Path, base: Path) -> Path:
    return run.rename(run.with_name("made-seed1.unfinished"))


def drop_weights(run: Path, base: Path) -> Path:
    (run / "adapter_model.safetensors").unlink()
    return run


def change_weights(run: Path, base: Path) -> Path:
    with (run / "adapter_model.safetensors").open("ab") as file:
        file.write(b"\0")
    return run


def add_pickle(run: Path, base: Path) -> Path:
    (run / "optimizer.pt").write_bytes(b"")
    return run


def add_program(run: Path, base: Path) -> Path:
    (run / "model.py").write_text("")
    seal_run(run, base)
    return run


def rename_labels(run: Path, base: Path) -> Path:
    edit(run, "config.json", lambda c: c.update(id2label={"0": "bad", "1": "neutral", "2": "positive"}), base)
    return run


def name_a_place(run: Path, base: Path) -> Path:
    edit(run, "adapter_config.json", lambda c: c.update(base_model_name_or_path="/mnt/models/base"), base)
    return run


def name_a_teacher(run: Path, base: Path) -> Path:
    (run / "recipe.toml").write_text('teacher = "/mnt/runs/teacher-seed1"\n')
    seal_run(run, base)
    return run


def forget_splits(run: Path, base: Path) -> Path:
    provenance = read_json(run / "provenance.json")
    del provenance["splits"]
    (run / "provenance.json").write_text(json.dumps(provenance))
    return run


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unfinish, "unfinished: unfinished; expected a finished folder written by"),
        (drop_weights, "made-seed1: adapter_model.safetensors is missing; expected a finished folder"),
        (change_weights, "adapter_model.safetensors has SHA-256"),
        (add_pickle, "optimizer.pt may hold pickled code"),
        (add_program, "model.py would be published; expected only"),
        (rename_labels, "id2label is"),
        (name_a_place, "adapter_config.json: base_model_name_or_path is /mnt/models/base; expected no path of this"),
        (name_a_teacher, "recipe.toml: teacher is /mnt/runs/teacher-seed1; expected no path of this machine"),
        (forget_splits, "provenance.json: splits is missing; expected base, recipe"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_folder_that_is_not_fit_reaches_no_server(
    run: Path, base: Path, hub: HubServer, pause: Pause, spoil: Callable[[Path, Path], Path], message: str
) -> None:
    spoilt = spoil(run, base)
    with pytest.raises(PipelineError) as refusal:
        publish(spoilt, hub, pause)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert hub.requests == []


@pytest.mark.parametrize("name", ["adapter", "a/b/c", "made/ad apter", ""])
def test_a_name_that_is_no_repository_is_refused(run: Path, hub: HubServer, pause: Pause, name: str) -> None:
    with pytest.raises(PublishError, match="expected a Hub repository OWNER/NAME"):
        publish_run(run, name, False, hub.url, TOKEN, pause.patience)


@pytest.fixture(scope="module")
def made_model(made_run: Path, base: Path, cache: None) -> Path:
    """The run of these tests, exported."""
    output = base.parent / "model"
    with HubServer() as hub:
        serve_model(hub, base)
        return export_model(made_run, None, output, write_parity_set(base.parent / "parity.csv"), hub.url).folder


@pytest.fixture
def model(made_model: Path, tmp_path: Path) -> Path:
    """An exported folder that a test may spoil."""
    return Path(shutil.copytree(made_model, tmp_path / "model"))


def test_an_exported_folder_is_published_byte_by_byte(model: Path, hub: HubServer, pause: Pause) -> None:
    (model / "notes.txt").write_text("not sealed, so not published")
    revision = publish(model, hub, pause)
    (model / "notes.txt").unlink()
    held = hub.files(NAME, revision)
    del held[".gitattributes"]
    assert held == {
        path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()
    }
    assert "onnx/model_quantized.onnx" in held
    assert publish(model, hub, pause) == revision


def change_graph(model: Path) -> None:
    with (model / "onnx" / "model_quantized.onnx").open("ab") as file:
        file.write(b"\0")


def drop_card(model: Path) -> None:
    (model / "README.md").unlink()
    write_provenance(model, read_json(model / "provenance.json"))


def add_second_graph(model: Path) -> None:
    (model / "onnx" / "model.onnx").write_bytes(b"")
    write_provenance(model, read_json(model / "provenance.json"))


def name_a_place_in_the_recipe(model: Path) -> None:
    (model / "recipe.toml").write_text('teacher = "/mnt/runs/teacher-seed1"\n')
    write_provenance(model, read_json(model / "provenance.json"))


def forget_contamination(model: Path) -> None:
    facts = read_json(model / "provenance.json")
    del facts["contamination"]
    write_provenance(model, facts)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change_graph, "onnx/model_quantized.onnx has SHA-256"),
        (drop_card, "provenance.json: no SHA-256 of README.md"),
        (add_second_graph, "onnx/model.onnx would be published; expected only"),
        (name_a_place_in_the_recipe, "recipe.toml: teacher is /mnt/runs/teacher-seed1; expected no path of this"),
        (forget_contamination, "provenance.json: contamination is missing; expected base, recipe"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_an_exported_folder_that_is_not_fit_reaches_no_server(
    model: Path, hub: HubServer, pause: Pause, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(model)
    with pytest.raises(PipelineError) as refusal:
        publish(model, hub, pause)
    assert message in str(refusal.value)
    assert hub.requests == []


def trust(hub: HubServer) -> dict[str, str]:
    """Return the environment of a workflow that ``hub`` trusts with NAME."""
    hub.trusted = {NAME}
    return {**hub.environment(NAME), "GITHUB_ACTIONS": "true"}


def publish_trusted(run: Path, hub: HubServer, pause: Pause, environment: dict[str, str]) -> tuple[str, list[str]]:
    said: list[str] = []
    return publish_by(run, NAME, False, environment, said.append, pause.patience), said


def test_a_trusted_workflow_publishes_without_a_secret(run: Path, own_hub: HubServer, pause: Pause) -> None:
    first = own_hub.add(NAME, {"README.md": b"made by hand\n"})
    revision, said = publish_trusted(run, own_hub, pause, trust(own_hub))
    assert own_hub.revisions(NAME) == [first, revision]
    token = PREFIX + NAME
    assert said == [
        f"::add-mask::{token}",
        "signed in with a token from GitHub's identity, for made/adapter alone, good for 3600 s",
    ]
    sent = {request.headers["authorization"] for request in own_hub.requests if request.stage == "commit"}
    assert sent == {f"Bearer {token}"}
    assert "create" not in own_hub.stages()


def test_a_trusted_workflow_makes_no_repository(run: Path, own_hub: HubServer, pause: Pause) -> None:
    with pytest.raises(PublishError, match="made/adapter: not found by .* make it on the Hub first"):
        publish_trusted(run, own_hub, pause, trust(own_hub))
    assert own_hub.revisions(NAME) == []


def test_a_token_that_expires_on_the_way_is_renewed_once(run: Path, own_hub: HubServer, pause: Pause) -> None:
    own_hub.add(NAME, {"README.md": b"made by hand\n"})
    own_hub.fail("commit", Fault(401))
    revision, said = publish_trusted(run, own_hub, pause, trust(own_hub))
    assert own_hub.revisions(NAME)[1:] == [revision]
    assert "the token is no longer good; asking for another" in said
    assert own_hub.stages().count("exchange") == 2
    own_hub.fail("info", Fault(401), Fault(401))
    with pytest.raises(PublishError, match="HTTP 401"):
        publish_trusted(run, own_hub, pause, trust(own_hub))


def test_a_workflow_that_is_not_trusted_says_which_other_way_it_took(
    run: Path, own_hub: HubServer, pause: Pause
) -> None:
    environment = {**trust(own_hub), "HF_TOKEN": TOKEN}
    own_hub.trusted.clear()
    revision, said = publish_trusted(run, own_hub, pause, environment)
    assert own_hub.revisions(NAME)[1:] == [revision]
    assert said[0].startswith("warning: made/adapter: the exchange for a Hub token: HTTP 400 invalid_grant")
    assert said[1] == "signed in with the token of HF_TOKEN"
    assert TOKEN not in "".join(said)


def test_the_verb_hands_the_commit_on(
    run: Path,
    own_hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own_hub.add(NAME, {"README.md": b"made by hand\n"})
    for name, value in trust(own_hub).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    target = tmp_path / "outputs"
    target.write_text("before=1\n")
    assert main(["publish", str(run), NAME, "--revision-file", str(target)]) == 0
    (_, revision) = own_hub.revisions(NAME)
    assert target.read_text() == f"before=1\nrevision={revision}\n"
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if PREFIX in line] == [f"::add-mask::{PREFIX}{NAME}"]
    assert main(["publish", str(run), NAME, "--revision-file", str(tmp_path / "absent" / "x")]) == 2
    assert "--revision-file " in capsys.readouterr().err
