"""Which model version scores, which scored before it, and what a version is judged by."""

from collections.abc import Mapping

from conf.errors import UserError
from jobs.lakehouse.lake import Lake, Published
from ml.gates import Gate, gates
from ml.registry import Loaded
from transforms.features.catalogue import BY_NAME, digest_of
from transforms.tables.table import Table

PROMOTION, ROLLBACK = "promotion", "rollback"


def promotions(lake: Lake) -> list[Published]:
    """Promotions that were not rolled back, oldest first: the model of the last one scores.

    The registry's alias only follows it.
    """
    standing: list[Published] = []
    for run in lake.runs():
        if run.step == "promote":
            if run.facts["kind"] == ROLLBACK:
                standing.pop()
            elif not standing or _model(standing[-1]) != _model(run):
                standing.append(run)
    return standing


def _model(promotion: Published) -> tuple[str, str | None]:
    # in a registry that was lost and begun anew another model has the number
    return promotion.facts["model_version"], promotion.facts.get("mlflow_run")


def champions(lake: Lake) -> list[int]:
    """Versions that were signed off and not rolled back, oldest first: the last one scores."""
    return [int(promotion.facts["model_version"]) for promotion in promotions(lake)]


def champion(lake: Lake) -> int:
    """Version of the champion. Raises UserError before any version was promoted."""
    standing = champions(lake)
    if not standing:
        raise UserError(
            f"{lake.root}: no model version was promoted yet. Run `seller-credit train`, look at the card, then"
            " `seller-credit promote VERSION --approver NAME`; or look at the scores of one: --model VERSION."
        )
    return standing[-1]


def signed_run(lake: Lake) -> str | None:
    """The MLflow run of the champion that was signed off; None before the first, or where the sign-off does not tell.

    In a registry that was lost and begun anew another model has the champion's number.
    """
    standing = promotions(lake)
    return standing[-1].facts.get("mlflow_run") if standing else None


def is_champion(lake: Lake, version: str, made_by: str) -> bool:
    """Whether the model that an MLflow run made is the one that was signed off last; by its version, where the
    sign-off tells no run.
    """
    signed = signed_run(lake)
    return made_by == signed if signed is not None else champions(lake)[-1:] == [int(version)]


def features_lost(loaded: Loaded, table: Table) -> list[str]:
    """Features that a version wants and that a table no longer has, or that are made of something else by now; in
    words.

    Versions that were registered before digests were kept do not tell of the second.
    """
    lost = []
    for name in loaded.features:
        if name not in table.names:
            lost.append(f"{name}, which the catalogue no longer has")
        elif name in BY_NAME and loaded.digests.get(name, digest_of(name)) != digest_of(name):
            lost.append(f"{name}, which the catalogue makes of something else now")
    return lost


def training_of(lake: Lake, version: int, made_by: str | None = None) -> Published:
    """The run that trained a version; UserError where it was not trained on this lake.

    `made_by` is the MLflow run that it must be of, where several have had that number.
    """
    name = lake.settings.mlflow.model
    for run in reversed(lake.runs()):
        is_training = run.step == "train" and run.facts["model_name"] == name
        is_of_model = made_by in (None, run.facts.get("mlflow_run"))
        if is_training and is_of_model and run.facts["model_version"] == str(version):
            return run
    raise UserError(
        f"{name} version {version} was not trained on this lake ({lake.root}): there is no evidence to judge it by"
    )


def draw_days_of(lake: Lake, made_by: str | None) -> str | None:
    """Days of draws that the probability of the model of an MLflow run is about, empty where a source gave the
    outcomes; None where its training did not tell.
    """
    training = training_by(lake, made_by)
    return training.facts.get("draw_days") if training else None


def training_by(lake: Lake, made_by: str | None) -> Published | None:
    """The run that trained the model of an MLflow run; None where it was not trained on this lake."""
    trainings = (run for run in reversed(lake.runs()) if run.step == "train")
    return next((run for run in trainings if run.facts.get("mlflow_run") == made_by), None)


def gates_of(lake: Lake, training: Published) -> tuple[Gate, ...]:
    """The gates of a version that is registered, by the run that trained it."""
    return gates_now(lake, training.figures, training.facts["training_set"], training.facts["mlflow_run"])


def gates_now(lake: Lake, figures: Mapping[str, float], training_set: str, made_by: str | None) -> tuple[Gate, ...]:
    """The gates of a version as they stand: by its figures, the audits of its training set, and today's champion.

    `made_by` is its MLflow run, None where it has none yet; the champion itself is compared with the one before it.
    """
    others = [p for p in promotions(lake) if made_by is None or p.facts.get("mlflow_run") != made_by]
    before = int(others[-1].facts["model_version"]) if others else None
    return gates(figures, [audit.figures for audit in _audits(lake, training_set)], before)


def _audits(lake: Lake, training_set: str) -> list[Published]:
    """The audits of a set by the catalogue that made it; where there is none, those by any other."""
    made_with = {run.facts.get("catalogue") for run in lake.runs() if run.run_id == training_set}
    audits = [run for run in lake.runs() if run.step == "audit" and run.slice == training_set]
    # another catalogue may say otherwise what a feature is, and find moved what is not
    by_its_own = [audit for audit in audits if audit.facts.get("catalogue") in {None, *made_with}]
    return by_its_own or audits
