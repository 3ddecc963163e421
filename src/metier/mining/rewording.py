"""Prompts whose instructions mean a known template's but are worded a little differently: which template, which input."""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metier.artefacts.tasks import Template
from metier.mining.alignment import Alignment, Pattern, align, make_pattern, read_texts
from metier.mining.prompts import Prompt
from metier.mining.shingles import mined_text

# Share of the literal text, and of what stands for it, that must agree. Reworded prompts of the labs come out above 0.9,
# unrelated ones below 0.5.
MIN_SIMILARITY = 0.8
# ... and how much less the best template of any other task must agree.
MIN_MARGIN = 0.1
# Instructions of fewer words say too little to be known by their meaning.
MIN_WORDS = 8
# Templates are looked up under their rarest words; fewer shared than this share, and the rest is not compared.
_N_KEYS = 24
_MIN_KEYS_SHARED = 0.5
_MOST_ALIGNED = 8
_BLANKS = str.maketrans(dict.fromkeys(string.punctuation + "“”„«»‘’‚‛`´–—…", " "))
_SAME_ROLE = {"developer": "system"}

Roles = tuple[str, ...]


@dataclass(frozen=True)
class Reworded:
    """The template's place, and how it lies on the prompt."""

    place: int
    alignment: Alignment


@dataclass(frozen=True)
class Rewordings:
    """Templates, found by the words they hold. `keys` maps roles and word to the places of templates."""

    patterns: Mapping[int, Pattern]
    n_keys: Mapping[int, int]
    keys: Mapping[Roles, Mapping[str, Sequence[int]]]

    def candidates(self, prompt: Prompt) -> list[int]:
        """Places of the templates that share half of their rarest words with the prompt, the likeliest first."""
        keys = self.keys.get(_roles(prompt.roles))
        if keys is None:
            return []
        shared: Counter[int] = Counter()
        for word in _words(prompt.texts) & keys.keys():
            shared.update(keys[word])
        likely = [(n / self.n_keys[place], -place) for place, n in shared.items()]
        ranked = sorted((score, place) for score, place in likely if score >= _MIN_KEYS_SHARED)[::-1]
        return [-place for _, place in ranked[:_MOST_ALIGNED]]

    def find(self, prompt: Prompt, tasks_of: Sequence[frozenset[str]]) -> Reworded | None:
        """The template that the prompt is a rewording of; None where none is like it, or templates of other tasks are
        nearly as much. `tasks_of` holds the ids of each template's tasks, by its place."""
        candidates = self.candidates(prompt)
        texts = read_texts(prompt) if candidates else None
        found = [Reworded(place, align(self.patterns[place], texts)) for place in candidates] if texts else []
        if not found:
            return None
        best = max(found, key=lambda one: one.alignment.similarity)
        similarity = best.alignment.similarity
        rivals = [one.alignment.similarity for one in found if tasks_of[one.place].isdisjoint(tasks_of[best.place])]
        if similarity < MIN_SIMILARITY or not best.alignment.input:
            return None
        # Nothing comes closer than a prompt that differs in white space only.
        is_clear = best.alignment.is_verbatim or similarity - max(rivals, default=0.0) >= MIN_MARGIN
        return best if is_clear else None


def index_rewordings(templates: Sequence[Template]) -> Rewordings:
    """The index of the templates that say enough to be known by their meaning; places are those in `templates`."""
    patterns = {place: make_pattern(template) for place, template in enumerate(templates)}
    words = {place: _words([text for m in templates[place].messages for text in m.literals]) for place in patterns}
    words = {place: found for place, found in words.items() if len(found) >= MIN_WORDS}
    n_holding = Counter(word for found in words.values() for word in found)
    keys: dict[Roles, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    n_keys = {}
    for place, found in words.items():
        rarest = sorted(found, key=lambda word: (n_holding[word], -len(word), word))[:_N_KEYS]
        n_keys[place] = len(rarest)
        for word in rarest:
            keys[_roles([message.role for message in templates[place].messages])][word].append(place)
    return Rewordings(
        {place: patterns[place] for place in words}, n_keys, {roles: dict(found) for roles, found in keys.items()}
    )


def _roles(roles: Sequence[str]) -> Roles:
    return tuple(_SAME_ROLE.get(role, role) for role in roles)


def _words(texts: Sequence[str]) -> set[str]:
    return set(" ".join([mined_text(text) for text in texts]).lower().translate(_BLANKS).split())
