"""An answer as the prompt asked for it, and whether the request's own rules accept it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metier.artefacts.datasets import AnswerForm
from metier.curation.forms import asked_form, write_label
from metier.gateway.calls import Reason, Written
from metier.gateway.routing.parameters import refused_by_answer
from metier.gateway.routing.schemas import accepts

# Below this share of calls answered in one form, the frontier model has none that could be learnt.
LEAST_SHARE = 0.9

# Whether a text is JSON that fits a schema.
Accept = Callable[[object, str], bool]
Forms = Mapping[tuple[str | None, str], AnswerForm]


def find_form(forms: Forms, template_id: str, request: Mapping[str, Any]) -> AnswerForm | None:
    """The form in which the frontier model answers this wording of the task with these demands; None where it has not
    been seen, or in too small a share of the calls."""
    form = forms.get((template_id, asked_form(request)))
    return form if form is not None and form.share >= LEAST_SHARE else None


def write_answer(form: AnswerForm, label: str) -> Written:
    """The label, the record or the text in this form."""
    text = write_label(form, label)
    return Written(text) if form.tool_name is None else Written(None, form.tool_name, text)


def refusal(written: Written, request: Mapping[str, Any], accept: Accept = accepts) -> Reason | None:
    """Why the request would not take this answer: FORM where it breaks the schema, the format or the choice of tools that
    the request states, PARAMETERS where it would be cut short; None where it takes it."""
    fits_way = _fits_content if written.tool_name is None else _fits_tools
    fits = fits_way(written, request, accept)
    if not fits:
        return Reason.FORM
    return Reason.PARAMETERS if refused_by_answer(written, request) else None


def _fits_content(written: Written, request: Mapping[str, Any], accept: Accept) -> bool:
    content = written.content
    if not content or request.get("tool_choice") not in (None, "auto", "none"):
        return False
    wanted = request.get("response_format")
    if wanted is None:
        return True
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return True
    if kind == "json_object":
        return accept({"type": "object"}, content)
    if kind == "json_schema":
        stated = wanted.get("json_schema")
        return isinstance(stated, dict) and accept(stated.get("schema", {}), content)
    return False


def _fits_tools(written: Written, request: Mapping[str, Any], accept: Accept) -> bool:
    choice, tools = request.get("tool_choice"), request.get("tools")
    if isinstance(choice, dict):
        named = choice.get("function")
        if choice.get("type") != "function" or not isinstance(named, dict) or named.get("name") != written.tool_name:
            return False
    elif choice not in (None, "auto", "required"):
        return False
    if not isinstance(tools, list):
        return False
    for tool in tools:
        stated = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if isinstance(stated, dict) and stated.get("name") == written.tool_name:
            schema = stated.get("parameters")
            return accept({"type": "object"} if schema is None else schema, written.arguments or "")
    return False
