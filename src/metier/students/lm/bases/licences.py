"""Under what terms a base model may be used, who has to agree to them, and the memory of having agreed."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from metier.errors import LicenceNotAccepted

UNKNOWN = "unknown"
_ACCEPTED_FILE = "accepted-licences.json"

# Licences that ask for nothing beyond keeping their notice: using the model is agreement enough.
_FREE = {
    "apache-2.0": "Apache License 2.0: free use; keep the notices. https://www.apache.org/licenses/LICENSE-2.0",
    "mit": "MIT License: free use; keep the notice. https://opensource.org/license/mit",
    "bsd": "BSD License: free use; keep the notice. https://opensource.org/license/bsd-3-clause",
    "bsd-2-clause": "BSD 2-Clause License: free use; keep the notice. https://opensource.org/license/bsd-2-clause",
    "bsd-3-clause": "BSD 3-Clause License: free use; keep the notice. https://opensource.org/license/bsd-3-clause",
    "isc": "ISC License: free use; keep the notice. https://opensource.org/license/isc-license-txt",
    "cc0-1.0": "Creative Commons Zero: no conditions. https://creativecommons.org/publicdomain/zero/1.0/",
    "unlicense": "The Unlicense: no conditions. https://unlicense.org/",
    "cc-by-4.0": "Creative Commons Attribution 4.0: free use; name the authors. https://creativecommons.org/licenses/by/4.0/",
}
_BOUND = {
    "gemma": "Gemma Terms of Use, https://ai.google.dev/gemma/terms, with the Prohibited Use Policy, "
    "https://ai.google.dev/gemma/prohibited_use_policy: uses it prohibits are forbidden to you and to whoever gets the "
    "tuned model from you; pass these terms on with it, and say that you changed it.",
    "llama2": "Llama 2 Community License, https://ai.meta.com/llama/license/, with its Acceptable Use Policy: keep the "
    "notice, pass the terms on, and ask Meta above 700 million monthly users.",
    "llama3": "Llama 3 Community License, https://www.llama.com/llama3/license/, with its Acceptable Use Policy: show "
    "'Built with Meta Llama 3', begin a tuned model's name with 'Llama 3', pass the terms on.",
    "llama3.1": "Llama 3.1 Community License, https://www.llama.com/llama3_1/license/, with its Acceptable Use Policy: "
    "show 'Built with Llama', begin a tuned model's name with 'Llama', pass the terms on.",
    "llama3.2": "Llama 3.2 Community License, https://www.llama.com/llama3_2/license/, with its Acceptable Use Policy: "
    "show 'Built with Llama', begin a tuned model's name with 'Llama', pass the terms on.",
}


@dataclass(frozen=True)
class Licence:
    """A licence's identifier as the hub writes it ("apache-2.0", "gemma"), its conditions in a sentence with an address,
    and whether they have to be accepted before first use."""

    name: str
    conditions: str
    needs_acceptance: bool


def known_licence(name: str | None, source: str) -> Licence:
    """The licence called `name` of the base `source`; one that is not known, or not stated, has to be accepted."""
    name = (name or UNKNOWN).strip().lower() or UNKNOWN
    if name in _FREE:
        return Licence(name, _FREE[name], needs_acceptance=False)
    if name in _BOUND:
        return Licence(name, _BOUND[name], needs_acceptance=True)
    if name in (UNKNOWN, "other"):
        return Licence(UNKNOWN, f"'{source}' states no licence that is known; ask its authors what it allows.", True)
    return Licence(name, f"'{source}' comes under '{name}'; read its text beside the model before you accept it.", True)


def card_licence(card: Path) -> str | None:
    """What a model card's front matter (README.md) says after `license:`, or `license_name:` where that is "other"."""
    if not card.is_file():
        return None
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return None
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, colon, value = line.partition(":")
        if colon and key in ("license", "license_name"):
            fields[key] = value.strip().strip("'\"")
    stated = fields.get("license")
    return fields.get("license_name", stated) if stated == "other" else stated


def require_acceptance(
    licence: Licence, source: str, accepted: Collection[str], cache: Path, role: str = "base model"
) -> None:
    """Returns where the licence asks for nothing, is in `accepted`, or was accepted before; remembers it in `cache`.

    An unknown licence is remembered for its source alone. Raises LicenceNotAccepted, which calls the source a `role` and
    says how to accept.
    """
    if not licence.needs_acceptance:
        return
    key = f"{UNKNOWN}:{source}" if licence.name == UNKNOWN else licence.name
    remembered = _remembered(cache)
    if licence.name in {name.strip().lower() for name in accepted}:
        if key not in remembered:
            _remember(cache, [*remembered, key])
        return
    if key not in remembered:
        raise LicenceNotAccepted(source, licence.name, licence.conditions, role)


def _remembered(cache: Path) -> list[str]:
    try:
        names = json.loads((cache / _ACCEPTED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []  # a lost memory only means to be asked again
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _remember(cache: Path, names: list[str]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    beside = cache / f"{_ACCEPTED_FILE}.{os.getpid()}.tmp"
    beside.write_text(json.dumps(names, indent=1), encoding="utf-8")
    beside.replace(cache / _ACCEPTED_FILE)
