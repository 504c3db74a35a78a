"""The MLflow registry: evidence of every version, and loading one by its number.

Who is champion is decided by gold.signoffs; the alias here follows it.
"""

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from pyspark.ml import PipelineModel

from conf.errors import StepFailure, UserError

CHAMPION, CHALLENGER = "champion", "challenger"
THIS_MODEL = "models:/this-one"
"""Stands in descriptions and text artifacts for the address of the model that they are registered with."""
DESCRIPTION_LENGTH = 5_000
"""Characters that MLflow's table of versions has for a description: PostgreSQL and MySQL refuse a longer one."""
UNFINISHED = "unfinished"
"""Tag of a version whose training is not published: where its process was killed, it stays, and says so."""
_SQLITE = "sqlite:///"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Delta:
    """A Delta table that went into a model: where, which version, which rows of it."""

    name: str
    path: str
    version: int
    rows: str


@dataclass(frozen=True)
class Evidence:
    """Everything that is registered with a version."""

    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    description: str
    """Markdown; begins with a plain sentence, since lists show the first line raw."""
    artifacts: Mapping[str, str | bytes]
    """File name to content: the card, its plots."""
    documents: Mapping[str, Any]
    """File name to what is kept as JSON: the reference of the reasons, the features."""
    tables: Sequence[Delta]
    features: Sequence[str]
    example: Mapping[str, Any]
    """One feature row, for the input example."""
    packages: Sequence[str] = ()
    """What loading it needs besides MLflow and PySpark, by distribution."""


@dataclass(frozen=True)
class Loaded:
    """A registered version, ready to score."""

    pipeline: PipelineModel
    name: str
    version: int
    run_id: str
    features: tuple[str, ...]
    reference: Mapping[str, Any]
    digests: Mapping[str, str] = field(default_factory=dict)
    """What each feature was made of when it was trained, in one word; none of versions that do not tell."""


def check(uri: str, experiment: str | None = None) -> None:
    """Raise UserError, within seconds, where the registry does not answer: before hours of work that it should keep.

    Nor would it be kept in an experiment that was deleted.
    """
    found = None
    try:
        with _impatient(), _client(uri) as client:
            client.search_registered_models(max_results=1)
            if experiment is not None:
                found = client.get_experiment_by_name(experiment)
    except Exception as error:  # whatever a store of this kind raises: a wrong address has many faces
        raise UserError(
            f"registry {uri}: cannot be used: {_first_line(error)}. Check mlflow.tracking_uri: sqlite:///FILE, or the"
            " http(s) address of an MLflow server that is up."
        ) from None
    if found is not None and found.lifecycle_stage != LifecycleStage.ACTIVE:
        raise UserError(
            f"registry {uri}: experiment {experiment} was deleted. Bring it back (`mlflow experiments restore"
            f" --experiment-id {found.experiment_id}`), or name another: --set mlflow.experiment=NAME"
        )


def register(uri: str, experiment: str, name: str, model: PipelineModel, evidence: Evidence) -> tuple[int, str]:
    """Log a model with its evidence and register it; return its version and its MLflow run.

    The version is made last, of a run that is complete, and taken back where its description fails. It is no challenger
    yet, and tagged as unfinished: see `set_finished`. Raises StepFailure where the registry stops to answer.
    """
    try:
        return _registered(uri, experiment, name, model, evidence)
    except (MlflowException, OSError) as error:  # a server that is down, a disk that is full
        raise StepFailure(
            f"registry {uri}: took no version of {name}: {_first_line(error)}. Nothing was published and there is no"
            " new challenger; run `seller-credit train` again once it answers"
        ) from None


def _registered(uri: str, experiment: str, name: str, model: PipelineModel, evidence: Evidence) -> tuple[int, str]:
    unfinished = {UNFINISHED: "its training was not published: nothing can be judged by it, train again"}
    with _client(uri) as client:
        experiment_id = _experiment(client, uri, experiment)
        with mlflow.start_run(experiment_id=experiment_id, run_name=name) as run:
            run_id = run.info.run_id
            _log(model, evidence, f"runs:/{run_id}/model")
        version = mlflow.register_model(f"runs:/{run_id}/model", name, tags=dict(evidence.tags) | unfinished).version
        try:
            page = f"#/experiments/{experiment_id}/runs/{run_id}"
            link = f"Evidence: [the run with metrics, parameters, datasets and the model card]({page})."
            told = evidence.description.replace(THIS_MODEL, f"models:/{name}/{version}")
            client.update_model_version(name, version, description=described(told, link))
        except BaseException:
            client.delete_model_version(name, version)
            raise
    return int(version), run_id


def withdraw(uri: str, name: str, version: int) -> None:
    """Take a version back that came to nothing."""
    with _client(uri) as client:
        client.delete_model_version(name, str(version))


def set_finished(uri: str, name: str, version: int) -> None:
    """Take the tag off a version whose training is published."""
    with _client(uri) as client:
        try:
            if UNFINISHED in client.get_model_version(name, str(version)).tags:
                client.delete_model_version_tag(name, str(version), UNFINISHED)
        except MlflowException as error:
            raise _told(error, uri, name, str(version)) from None


def set_challenger(uri: str, name: str, version: int) -> None:
    """Point the alias at a version whose training is published: at no other, since nothing is known of it."""
    with _client(uri) as client:
        try:
            client.set_registered_model_alias(name, CHALLENGER, str(version))
        except MlflowException as error:
            raise _told(error, uri, name, str(version)) from None


def described(text: str, end: str) -> str:
    """As many paragraphs of a text as a description has room for beside its last one, and what is said where some have
    to go.
    """
    whole = f"{text}\n\n{end}\n"
    if len(whole) <= DESCRIPTION_LENGTH:
        return whole
    end = f"The rest is in the card: a description holds {DESCRIPTION_LENGTH:,} characters.\n\n{end}\n"
    kept: list[str] = []
    for paragraph in text.split("\n\n"):
        if len("\n\n".join([*kept, paragraph, end])) > DESCRIPTION_LENGTH:
            break
        kept.append(paragraph)
    while kept and kept[-1].endswith(":"):
        kept.pop()  # what it leads to is gone
    return "\n\n".join([*kept, end])


def _log(model: PipelineModel, evidence: Evidence, address: str) -> None:
    mlflow.set_tags(dict(evidence.tags))
    mlflow.log_params(dict(evidence.parameters))
    mlflow.log_metrics({key: float(value) for key, value in evidence.metrics.items()})
    for table in evidence.tables:
        dataset = mlflow.data.load_delta(  # type: ignore[attr-defined]  # bound at run time
            path=table.path, version=str(table.version), name=table.name
        )
        mlflow.log_input(dataset, context="training", tags={"rows": table.rows})
    for file, document in evidence.documents.items():
        mlflow.log_dict(document, file)
    with tempfile.TemporaryDirectory() as folder:
        for file, content in evidence.artifacts.items():
            path = Path(folder) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.replace(THIS_MODEL, address).encode() if isinstance(content, str) else content)
        mlflow.log_artifacts(folder)
    mlflow.spark.log_model(
        model,
        artifact_path="model",
        signature=_signature(evidence.features),
        input_example=_example(evidence),
        pip_requirements=_requirements(evidence.packages),
    )


def resolve(uri: str, name: str, wanted: str) -> int:
    """Version number of `champion`, `challenger` or a number; UserError where there is none."""
    with _client(uri) as client:
        try:
            if wanted in (CHAMPION, CHALLENGER):
                return int(client.get_model_version_by_alias(name, wanted).version)
            if not wanted.isdigit():
                raise UserError(f"model version {wanted!r}: want a number, champion or challenger")
            return int(client.get_model_version(name, wanted).version)
        except MlflowException as error:
            raise _told(error, uri, name, wanted) from None


def load(uri: str, name: str, version: int) -> Loaded:
    """Load one version with the documents that it was registered with."""
    with _client(uri) as client:
        try:
            found = client.get_model_version(name, str(version))
            run_id = str(found.run_id)
            features = mlflow.artifacts.load_dict(f"runs:/{run_id}/features.json")
            reference = mlflow.artifacts.load_dict(f"runs:/{run_id}/reference.json")
            pipeline = mlflow.spark.load_model(f"models:/{name}/{version}")
        except MlflowException as error:
            raise _told(error, uri, name, str(version)) from None
    return Loaded(pipeline, name, version, run_id, tuple(features["features"]), reference, features.get("digests", {}))


_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""How a registry that answers says that it has no such model, version or alias; any other error is no answer."""


def _if_there(uri: str, name: str, wanted: str, ask: Callable[[MlflowClient], Answer]) -> Answer | None:
    """What a registry answers, or None where it has no such model, version or alias; UserError where it is silent."""
    with _client(uri) as client:
        try:
            return ask(client)
        except MlflowException as error:
            if error.error_code in _NOT_THERE:
                return None
            raise _told(error, uri, name, wanted) from None


def alias(uri: str, name: str, wanted: str) -> int | None:
    """Version that an alias points at, None where there is no such alias."""
    return _if_there(uri, name, wanted, lambda client: int(client.get_model_version_by_alias(name, wanted).version))


def run_of(uri: str, name: str, version: int) -> str | None:
    """The MLflow run that made this version; None where the registry has no such version."""
    number = str(version)
    return _if_there(uri, name, number, lambda client: str(client.get_model_version(name, number).run_id))


def knows_model(uri: str, name: str) -> bool:
    """Whether the registry has a model of this name, with or without versions."""
    return _if_there(uri, name, "", lambda client: client.get_registered_model(name)) is not None


def tag_of(uri: str, name: str, version: int, key: str) -> str:
    """A tag of a version; empty where it has none, or where there is no such version."""
    number = str(version)
    return (
        _if_there(uri, name, number, lambda client: str(client.get_model_version(name, number).tags.get(key, ""))) or ""
    )


def set_champion(uri: str, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Tag the version that was signed off with who and why, and point the alias at it."""
    with _client(uri) as client:
        try:
            for key, value in tags.items():
                client.set_model_version_tag(name, str(version), key, value)
            client.set_registered_model_alias(name, CHAMPION, str(version))
        except MlflowException as error:
            raise _told(error, uri, name, str(version)) from None


def _told(error: MlflowException, uri: str, name: str, wanted: str) -> UserError:
    return UserError(
        f"registry {uri}: model {name} {wanted}: {_first_line(error)}. Run `seller-credit train` to register one, check"
        " mlflow.tracking_uri and mlflow.model, or, where the champion was deleted, promote another version or"
        " `seller-credit promote --rollback`."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """MLflow's client tries a server that is down for four minutes."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextlib.contextmanager
def _client(uri: str) -> Iterator[MlflowClient]:
    """A client of one registry, its chatter kept off the console, and a private folder for models on their way."""
    before = {name: logging.getLogger(name).level for name in ("mlflow", "alembic", "py4j")}
    for name in before:
        logging.getLogger(name).setLevel(logging.ERROR)
    if uri.startswith(_SQLITE):
        Path(uri.removeprefix(_SQLITE)).resolve().parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    own_folder = "MLFLOW_DFS_TMP" not in os.environ
    with contextlib.ExitStack() as stack:
        if own_folder:
            # the default is one folder in /tmp that every user of the machine knows
            os.environ["MLFLOW_DFS_TMP"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="seller-credit-"))
        # of every dataset with whole numbers, that pandas could not hold a null among them: nothing here is pandas
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer column")
        # it prints links to pages that only a server shows
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        try:
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            yield MlflowClient(uri, uri)
        finally:
            if own_folder:
                del os.environ["MLFLOW_DFS_TMP"]
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if uri.startswith(_SQLITE):
        # beside the database: MLflow's default is the folder in which the command happens to run
        location = (Path(uri.removeprefix(_SQLITE)).resolve().parent / "mlflow-artifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _signature(features: Sequence[str]) -> ModelSignature:
    # written out: one inferred from rows marks a column as required when those rows happen to have it
    inputs = Schema([ColSpec("double", name, required=False) for name in features])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double", "prediction")]))


def _example(evidence: Evidence) -> Any:
    import pandas as pd

    return pd.DataFrame([{name: evidence.example.get(name) for name in evidence.features}]).astype("float64")


def _requirements(more: Sequence[str]) -> list[str]:
    from importlib.metadata import version

    return [f"{package}=={version(package)}" for package in ("mlflow", "pyspark", "pandas", "numpy", *more)]
