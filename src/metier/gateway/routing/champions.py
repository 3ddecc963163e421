"""A task's champion: the policy that speaks for it, with the specialist, loaded from the store and ready to answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import cast

from metier.artefacts.datasets import AnswerForm, Dataset
from metier.artefacts.manifests import Manifest
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
from metier.errors import BadArtefact, MetierError, NotFound
from metier.gateway.routing.asking import Failures
from metier.gateway.routing.desks import WritingDesk
from metier.gateway.routing.forms import Accept
from metier.gateway.routing.inputs import Reader, input_reader, was_scrubbed
from metier.gateway.routing.kinds import Check, RecordRules, answer_check, named_anew_check, record_rules
from metier.gateway.routing.schemas import accepts
from metier.store.aliases import Alias
from metier.store.folders import ArtefactStore
from metier.students import STUDENTS, LmStudent, Predictor

# An answer that takes longer than this holds up the calls beside it, so it belongs in a thread.
SLOW_S = 0.001
_TIMED = 7
_WARM_UP = 3
_SHORT_CHARS, _LONG_CHARS = 60, 3000


@dataclass(frozen=True)
class Writing:
    """How specialists that write answers are run: `n_places` answers side by side, on `n_threads` cores."""

    n_places: int = 4
    n_threads: int = 1


PLAIN_WRITING = Writing()


@dataclass(frozen=True)
class Champion:
    """What answers for a task. `forms` are keyed by wording (template id) and what was asked of the answer; `read` makes of
    a live input one like those the specialist was certified on; `check` says what is wrong with an answer; `rules` are
    those of records. `slow_chars` is the length of an input from which reading and answering it takes longer than SLOW_S,
    measured when it was loaded. A specialist that writes has a `desk`: it answers nowhere else."""

    task: str
    policy_id: str
    specialist_id: str
    audit: Manifest
    policy: Policy
    predictor: Predictor
    kind: OutputKind
    check: Check
    forms: Mapping[tuple[str | None, str], AnswerForm]
    slow_chars: int
    read: Reader
    rules: RecordRules | None = None
    desk: WritingDesk | None = None
    failures: Failures = field(default_factory=Failures)

    @property
    def name(self) -> str:
        """For the log: the kind of student and the specialist's id."""
        return f"{self.policy.student} {self.specialist_id}"

    @property
    def accept(self) -> Accept:
        """Whether a text fits the JSON Schema that a request states."""
        return accepts if self.rules is None else self.rules.accept

    def retire(self) -> None:
        """Free the specialist once the answers that were asked of it are written; returns at once."""
        if self.desk is not None:
            self.desk.retire(self._free)

    def end(self) -> None:
        """Break off the answers that are being written, and free the specialist."""
        if self.desk is not None:
            self.desk.end(lambda: _call(self.predictor, "stop"), self._free)

    def _free(self) -> None:
        _call(self.predictor, "close")


def _call(predictor: Predictor, name: str) -> None:
    """Call a method that only predictors with something to free have."""
    method = getattr(predictor, name, None)
    if method is not None:
        method()


def takes_long_to_load(store: ArtefactStore, alias: Alias) -> bool:
    """Whether the champion that an alias names has files of hundreds of megabytes; False where it cannot be told."""
    try:
        policy = cast(Policy, store.load(store.manifest("policy", alias.champion or "")))
    except MetierError:
        return False
    return isinstance(STUDENTS.get(policy.student), LmStudent)


def load_champion(
    store: ArtefactStore, alias: Alias, *, redacts_pii: bool = False, writing: Writing = PLAIN_WRITING
) -> Champion:
    """The champion that an alias names; every file is compared with its hash. `redacts_pii`: personal data is taken out of
    what this gateway records; `writing`: how specialists that write are run.

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
    student = specialist.card.student
    with ExitStack() as opened:
        predictor = _predictor(student, specialist.folder, writing)
        # Freed again where anything after it fails: the loading is tried again and again.
        opened.callback(_call, predictor, "close")
        read = input_reader(redacts_pii=redacts_pii, is_scrubbed=was_scrubbed(dataset_manifest.settings))
        classes = frozenset(dataset.classes) & frozenset(predictor.classes_)
        rules = record_rules(dataset.output_schema or {}) if dataset.kind is OutputKind.FIELDS else None
        view = specialist.card.view
        is_named_anew = view is not None and bool(view.classes) and dataset.kind is OutputKind.LABEL
        writes = isinstance(STUDENTS[student], LmStudent)
        name, failures = f"{policy.student} {policy.specialist_id}", Failures()
        champion = Champion(
            task=alias.task,
            policy_id=manifest.id,
            specialist_id=policy.specialist_id,
            audit=store.manifest("audit", _input(dataset_manifest, "audit")),
            policy=policy,
            predictor=predictor,
            kind=dataset.kind,
            check=named_anew_check if is_named_anew else answer_check(dataset.kind, classes, rules),
            forms={(form.template_id, form.asked): form for form in dataset.forms},
            slow_chars=_slow_chars(specialist, lambda text: predictor.predict([read(text)])),
            read=read,
            rules=rules,
            desk=WritingDesk(writing.n_places, name, failures) if writes else None,
            failures=failures,
        )
        opened.pop_all()
    return champion


def _slow_chars(specialist: Specialist, answer: Callable[[str], object]) -> int:
    if isinstance(STUDENTS[specialist.card.student], LmStudent):
        return sys.maxsize  # what is asked at a desk holds up nobody
    if specialist.card.view is not None:
        return 0  # a view takes its time over inputs of its own, and none over the others that could be timed here
    return slow_from(answer, time.perf_counter)


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


def _predictor(student: str, folder: Path, writing: Writing) -> Predictor:
    if student not in STUDENTS:
        raise BadArtefact(
            f"the kind of student '{student}' is not known to this version; known are {', '.join(STUDENTS)}"
        )
    known = STUDENTS[student]
    if isinstance(known, LmStudent):
        return known.load(folder, writing.n_threads, parallel=writing.n_places)
    return known.load(folder)


def _input(manifest: Manifest, name: str) -> str:
    found = manifest.inputs.get(name)
    if found is None:
        raise BadArtefact(f"{manifest.kind} {manifest.id} does not say from which {name} it was made")
    return found
