"""A task's champion: the policy that speaks for it, with the specialist, loaded from the store and ready to answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import cast

from metier.artefacts.datasets import AnswerForm, Dataset
from metier.artefacts.manifests import Manifest
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Specialist
from metier.errors import BadArtefact, NotFound
from metier.gateway.routing.asking import Failures
from metier.gateway.routing.inputs import Reader, input_reader, was_scrubbed
from metier.store.aliases import Alias
from metier.store.folders import ArtefactStore
from metier.students import STUDENTS, Predictor

# An answer that takes longer than this holds up the calls beside it, so it belongs in a thread.
SLOW_S = 0.001
_TIMED = 7
_WARM_UP = 3
_SHORT_CHARS, _LONG_CHARS = 60, 3000


@dataclass(frozen=True)
class Champion:
    """What answers for a task. `forms` are keyed by wording (template id) and what was asked of the answer; `read` makes of
    a live input one like those the specialist was certified on; `slow_chars` is the length of an input from which reading
    and answering it takes longer than SLOW_S, measured when it was loaded."""

    task: str
    policy_id: str
    specialist_id: str
    audit: Manifest
    policy: Policy
    predictor: Predictor
    classes: frozenset[str]
    forms: Mapping[tuple[str | None, str], AnswerForm]
    slow_chars: int
    read: Reader
    failures: Failures = field(default_factory=Failures)

    @property
    def name(self) -> str:
        """For the log: the kind of student and the specialist's id."""
        return f"{self.policy.student} {self.specialist_id}"


def load_champion(store: ArtefactStore, alias: Alias, *, redacts_pii: bool = False) -> Champion:
    """The champion that an alias names; every file is compared with its hash. `redacts_pii`: personal data is taken out of
    what this gateway records.

    Raises:
        NotFound: an artefact is not there.
        BadArtefact: a file is missing, altered or does not fit the others, or the kind of student is not known.
        MissingExtra: personal data was taken out of the examples, and the library for it is not installed here.
    """
    if alias.champion is None:
        raise NotFound(f"task '{alias.task}' has no champion")
    manifest = store.manifest("policy", alias.champion)
    policy = cast(Policy, store.load(manifest))
    if policy.task_name != alias.task:
        raise BadArtefact(f"policy {manifest.id} is of task '{policy.task_name}', not of '{alias.task}'")
    specialist = cast(Specialist, store.load(store.manifest("specialist", policy.specialist_id)))
    dataset_manifest = store.manifest("dataset", _input(manifest, "dataset"))
    dataset = cast(Dataset, store.load(dataset_manifest))
    predictor = _predictor(specialist.card.student, specialist.folder)
    read = input_reader(redacts_pii=redacts_pii, is_scrubbed=was_scrubbed(dataset_manifest.settings))
    return Champion(
        task=alias.task,
        policy_id=manifest.id,
        specialist_id=policy.specialist_id,
        audit=store.manifest("audit", _input(dataset_manifest, "audit")),
        policy=policy,
        predictor=predictor,
        classes=frozenset(dataset.classes) & frozenset(predictor.classes_),
        forms={(form.template_id, form.asked): form for form in dataset.forms},
        slow_chars=slow_from(lambda text: predictor.predict([read(text)]), time.perf_counter),
        read=read,
    )


def slow_from(answer: Callable[[str], object], clock: Callable[[], float]) -> int:
    """The length in characters from which an answer takes over SLOW_S: 0 where even a short one does. A specialist that
    fails at this counts as slow, so that it fails in a thread."""
    try:
        short = _median_s(answer, _SHORT_CHARS, clock)
        long = _median_s(answer, _LONG_CHARS, clock)
    except Exception:  # it may answer other inputs; where it does not, each call escalates
        return 0
    if short >= SLOW_S:
        return 0
    per_char_s = max(long - short, 1e-9) / (_LONG_CHARS - _SHORT_CHARS)
    return _SHORT_CHARS + int((SLOW_S - short) / per_char_s)


def _median_s(answer: Callable[[str], object], n_chars: int, clock: Callable[[], float]) -> float:
    text = ("when will the parcel that i ordered last week be here? " * (1 + n_chars // 50))[:n_chars]
    taken = []
    for _ in range(_WARM_UP + _TIMED):
        started = clock()
        answer(text)
        taken.append(clock() - started)
    return median(taken[_WARM_UP:])


def _predictor(student: str, folder: Path) -> Predictor:
    if student not in STUDENTS:
        raise BadArtefact(
            f"the kind of student '{student}' is not known to this version; known are {', '.join(STUDENTS)}"
        )
    return STUDENTS[student].load(folder)


def _input(manifest: Manifest, name: str) -> str:
    found = manifest.inputs.get(name)
    if found is None:
        raise BadArtefact(f"{manifest.kind} {manifest.id} does not say from which {name} it was made")
    return found
