"""Whatever is called as the description says, or nearly so, is answered as the description says: by every role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.surfaces.serving import Host, serving
from tests.surfaces.test_api import FAILING, PROGRAM

from clew.api.calls import ROLES
from clew.api.resources import all_endpoints

EXAMPLES = 12

CHECKS = [
    not_a_server_error, content_type_conformance, response_headers_conformance, response_schema_conformance,
    status_code_conformance,
]  # fmt: skip

LEAST = {(one.method, one.path): one.role for one in all_endpoints()}


class Described(Host):
    """A host whose description is called; in it, what is in the store stands for what may be."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program("adding", PROGRAM)
        self.program("failing", FAILING)
        self.tokens = {role: self.token(role) for role in ROLES}
        self.session = requests.Session()
        self.schema: Any = None

    def describe(self) -> None:
        token = self.tokens["admin"]
        document = self.call("GET", "/api/v1/openapi.json", token=token).document
        body = {"variables": {"first": 1}, "wait": 20}
        run = self.call("POST", "/api/v1/programs/adding/runs", body, token=token).document["run_id"]
        known = {"program": ["adding", "failing"], "run_id": [run]}
        for path in document["paths"].values():
            for operation in path.values():
                for parameter in operation.get("parameters", ()):
                    if parameter["in"] == "path" and parameter["name"] in known:
                        parameter["schema"] = {"enum": [*known[parameter["name"]], "nothing"]}
        self.schema = schemathesis.openapi.from_dict(document)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    made = Described(tmp_path_factory.mktemp("described"))
    with serving(made), made.session:
        made.describe()
        yield made


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), list(LEAST), ids=str)
def test_what_is_described_is_what_is_answered(
    host: Described, role: str, method: str, path: str, mode: schemathesis.GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {host.tokens[role]}"}
    is_allowed = ROLES.index(role) >= ROLES.index(LEAST[method, path])

    @hypothesis.given(case=host.schema[path][method].as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    def check(case: schemathesis.Case) -> None:
        reply = case.call_and_validate(
            base_url=host.address, headers=headers, checks=CHECKS, session=host.session
        )
        assert is_allowed or reply.status_code >= 400

    try:
        check()
    except hypothesis.errors.Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE, "there is nothing that could be wrong"
