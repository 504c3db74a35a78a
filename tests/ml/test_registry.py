"""What the registry says when it cannot be used."""

import pytest

from conf.errors import StepFailure
from ml.registry import Evidence, register


def test_a_registry_that_is_gone_when_the_model_is_ready_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    evidence = Evidence({}, {}, {}, "", {}, {}, [], [], {})
    with pytest.raises(StepFailure, match=r"took no version of seller-credit: .*there is no new challenger; run"):
        register("http://127.0.0.1:9", "experiment", "seller-credit", None, evidence)  # type: ignore[arg-type]
