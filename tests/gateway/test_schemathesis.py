"""The API as a whole against its description: requests that schemathesis makes up, valid and not, to a running gateway."""

from __future__ import annotations

import hypothesis
import schemathesis
from tests.gateway.faults.serving import PATIENCE_S, Gateway

from metier.gateway import openapi

# A few hundred requests in all: what is looked for are kinds of input, not rare values.
_EXAMPLES = 40


schema = schemathesis.openapi.from_dict(openapi.description())


@schema.parametrize()
@hypothesis.settings(max_examples=_EXAMPLES, deadline=None, derandomize=True)
def test_every_answer_is_as_described(case: schemathesis.Case, served: Gateway) -> None:
    host, port = served.address
    case.call_and_validate(
        f"http://{host}:{port}",
        headers={"authorization": f"Bearer {served.key}"},
        timeout=PATIENCE_S,
    )
