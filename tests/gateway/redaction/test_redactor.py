"""What goes through the redactor as a whole: JSON values, personal data, and texts of everyday in which nothing changes."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metier.errors import MissingExtra
from metier.gateway.redaction import redact_secrets, redactor

DATA = Path(os.environ.get("METIER_DATA", "../shared/data"))
KEY = "sk-proj-" + "aB3dE5gH7jK9" * 4


def test_a_request_loses_its_secrets_wherever_they_stand_and_nothing_else() -> None:
    request: dict[str, Any] = {
        "model": "gpt-4.1",
        "user": f"me {KEY}",
        "metadata": {"api_key": "9f8e7d6c5b4a39281706", "team": "billing", "Authorization": "Bearer abc"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": f"key\n{KEY}"}]},
            {"role": "assistant", "tool_calls": [{"function": {"arguments": '{"password":"h\\u00e9"}'}}]},
        ],
        "max_tokens": 100,
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"parameters": {"properties": {"password": {"type": "string"}}}}}],
    }  # fmt: skip
    before = json.dumps(request)
    done = redactor().value(request)
    assert json.dumps(request) == before
    assert done["user"] == "me [REDACTED:openai]"
    assert done["metadata"] == {
        "api_key": "[REDACTED:token]", "team": "billing", "Authorization": "[REDACTED:authorization]",
    }  # fmt: skip
    assert done["messages"][0]["content"][0]["text"] == "key\n[REDACTED:openai]"
    assert {name: done[name] for name in ("model", "max_tokens", "temperature", "tools")} == {
        name: request[name] for name in ("model", "max_tokens", "temperature", "tools")
    }


def test_a_value_without_secrets_is_given_back_as_it_is() -> None:
    request = {"messages": [{"role": "user", "content": "My password does not work."}], "stop": None, "n": 1}
    assert redactor().value(request) is request


def test_a_secret_in_the_name_of_a_field_goes_too() -> None:
    assert redactor().value({KEY: 1}) == {"[REDACTED:openai]": 1}


def test_deep_nesting_ends_in_an_answer() -> None:
    value: Any = KEY
    for _ in range(200):
        value = [value]
    assert KEY not in json.dumps(redactor().value(value))


def test_without_the_extra_the_start_fails_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtra, match=r"metier\[pii\]"):
        redactor(pii=True)
    redactor(pii=False)


def test_personal_data_goes_only_where_it_is_switched_on() -> None:
    pytest.importorskip("presidio_analyzer", reason="the 'pii' extra is not installed")
    text = f"my name is Jane Miller, write to jane.miller@example.com with {KEY}"
    assert redactor()(text) == text.replace(KEY, "[REDACTED:openai]")
    done = redactor(pii=True)(text)
    assert "Jane Miller" not in done
    assert "jane.miller" not in done
    assert "<EMAIL>" in done
    assert "[REDACTED:openai]" in done


def test_personal_data_is_found_behind_escapes_in_json_and_json_in_json() -> None:
    pytest.importorskip("presidio_analyzer", reason="the 'pii' extra is not installed")
    redact = redactor(pii=True)
    inner = json.dumps({"to": "jane.miller@example.com", "n": 12, "note": "a\nmy name is Jane Miller\n"})
    outer = json.dumps([{"role": "user", "content": "Hi\nmy name is Jane Miller"}, {"arguments": inner}])
    done = json.loads(redact(outer))
    assert done[0]["content"] == "Hi\nmy name is <NAME>"
    assert json.loads(done[1]["arguments"]) == {"to": "<EMAIL>", "n": 12, "note": "a\nmy name is <NAME>\n"}
    untouched = '{"a": 1.50, "b": [1e5]}'
    assert redact(untouched) == untouched
    picture = "data:image/png;base64," + "4111111111111111" * 10
    assert redact(picture) == picture


def test_many_threads_at_once() -> None:
    redact = redactor()
    faults: list[str] = []

    def work(n: int) -> None:
        done = {redact(f"{n} {KEY}") for _ in range(200)}
        faults.extend(done - {f"{n} [REDACTED:openai]"})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


@pytest.mark.skipif(not (DATA / "clinc150").is_dir(), reason="clinc150 is not at METIER_DATA")
def test_requests_to_a_bank_and_a_traveller_stay_as_they_are() -> None:
    data = json.loads((DATA / "clinc150" / "data_full.json").read_text())
    texts = [text for split in data.values() for text, _ in split]
    assert len(texts) == 23_700
    assert [text for text in texts if redact_secrets(text) != text] == []


@pytest.mark.skipif(not (DATA / "arena-hard").is_dir(), reason="arena-hard is not at METIER_DATA")
def test_programmers_questions_lose_example_passwords_and_nothing_more() -> None:
    """Of 5,000 strings (code, configuration files, prose) two change: both assign a password in quotes."""
    changed = []
    for version in ("arena-hard-v0.1", "arena-hard-v2.0"):
        for line in (DATA / "arena-hard" / version / "question.jsonl").read_text().strip().split("\n"):
            changed += [done for text in strings(json.loads(line)) if (done := redact_secrets(text)) != text]
    assert len(changed) == 2
    assert all(
        "PASSWORD = '[REDACTED:password]'" in text or 'password = "[REDACTED:password]"' in text for text in changed
    )
