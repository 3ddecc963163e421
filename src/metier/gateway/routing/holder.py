"""The router that a gateway holds: one table in use, another put in its place when champions or certificates change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Protocol

from metier.gateway.calls import Decision
from metier.gateway.routing.champions import PLAIN_WRITING, Champion, Writing
from metier.gateway.routing.ledger import Findings, Ledger, remember, remembered
from metier.gateway.routing.loading import SettingsOf, load_table, with_revocations
from metier.gateway.routing.router import TableRouter
from metier.gateway.routing.states import TaskState, changes, realised_errors, task_states
from metier.gateway.routing.table import RoutingTable
from metier.gateway.telemetry.figures import RealisedError
from metier.store.aliases import AliasStore
from metier.store.folders import ArtefactStore

_LOG = logging.getLogger(__name__)

# How often aliases and revocations are looked at.
POLL_S = 1.0
# What could not be loaded is tried again this often, and whenever an alias changes.
RETRY_S = 30.0
# A call that was decided by the table before asks its champion within this time; then the champion may be freed.
SETTLED_S = 5.0
# A database that is away longer than this is reported; the gateway goes on with the revocations it knows.
GRACE_S = 60.0
REVOKED_FILE = "revoked.json"
_JOIN_S = 10.0


class Event(Protocol):
    def __call__(self, event: str, level: Any = "info", **fields: Any) -> None:
        """Log that something happened (gateway.telemetry's `event`)."""
        ...


def no_event(event: str, level: Any = "info", **fields: Any) -> None:
    """For where nobody listens."""


class RouterHolder:
    """Implements gateway.protocols.Router over a table that can be exchanged while calls are under way: each call keeps the
    one it began with. `start` watches aliases and revocations in threads of its own until `close`."""

    def __init__(
        self,
        store: ArtefactStore,
        settings_of: SettingsOf,
        ledger: Ledger | None = None,
        *,
        event: Event = no_event,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
        redacts_pii: bool = False,
        writing: Writing = PLAIN_WRITING,
    ) -> None:
        self._store = store
        self._settings_of = settings_of
        self._ledger = ledger
        self._event = event
        self._clock = clock
        self._seed = seed
        self._redacts_pii = redacts_pii
        self._writing = writing
        self._replaced: list[tuple[float, Champion]] = []
        self._aliases = AliasStore(store.root)
        self._memory = store.root / REVOKED_FILE
        self._findings = Findings(remembered(self._memory) if ledger is not None else frozenset())
        self._router = TableRouter(RoutingTable())
        self._fingerprint: object = None
        self._loaded_at = clock()
        self._read_at = clock()
        self._is_away_told = False
        self._swap = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._is_asked_to_reload = False
        self._threads: list[threading.Thread] = []

    # Router of gateway.protocols

    def decide(self, request: Mapping[str, Any], trace_id: str, task_hint: str | None = None) -> Decision:
        """The decision for a parsed chat request, by the table in use; never raises."""
        return self._router.decide(request, trace_id, task_hint)

    def answer_unseen(self, decision: Decision, request: Mapping[str, Any]) -> Decision:
        """A SHADOW decision with the specialist's answer filled in; never raises."""
        return self._router.answer_unseen(decision, request)

    def is_slow(self, request: Mapping[str, Any], task_hint: str | None = None) -> bool:
        """Whether `decide` may take over a millisecond on this request."""
        return self._router.is_slow(request, task_hint)

    def same_answer(self, decision: Decision, reference: str) -> bool:
        """Whether the frontier's answer gives the same label as the specialist's kept answer."""
        return self._router.same_answer(decision, reference)

    # Exchange

    @property
    def table(self) -> RoutingTable:
        """The table in use."""
        return self._router.table

    def start(self) -> None:
        """Load the table, then keep it up to date in daemon threads: a database that hangs delays no promotion. Champions
        that take long to load come after the others, which need not wait for them. From now on this process does linear
        algebra in one thread: calls side by side use the cores better than one small product."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # comes with scikit-learn

        threadpool_limits(limits=1)
        self.reload(defers=True)
        self.read_ledger()
        for name, look in (("aliases", self.look_at_aliases), ("ledger", self.read_ledger)):
            thread = threading.Thread(target=self._watch, args=(name, look), name=f"metier-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Stop watching and free the champions. Answers that specialists are writing are broken off; other calls under way
        are not disturbed."""
        self._is_closed = True
        self._wake.set()
        for thread in self._threads:
            thread.join(_JOIN_S)
        # Whatever one of them raises, the others are freed.
        with ExitStack() as ends:
            if self._ledger is not None:
                ends.callback(self._ledger.close)
            for champion in [*_champions(self.table), *(champion for _, champion in self._replaced)]:
                ends.callback(champion.end)

    def ask_to_reload(self) -> None:
        """Have the watching thread reload at once; returns immediately, so that a signal handler may call it."""
        self._is_asked_to_reload = True
        self._wake.set()

    def reload(self, *, defers: bool = False) -> RoutingTable:
        """Load aliases, champions and audits anew beside the table in use, then put the new one in its place. What cannot
        be loaded is reported, and its old champion goes on serving; nothing is raised for it. `defers`: leave champions
        that take long to load to the next look."""
        with self._swap:
            fingerprint, old = self._aliases.fingerprint(), self.table
            table = load_table(
                self._store, self._settings_of, old, self._seed, self._redacts_pii, self._writing, defers=defers
            )
            self._put(with_revocations(table, self._findings.revoked))
            self._fingerprint, self._loaded_at = fingerprint, self._clock()
            in_use = {id(champion) for champion in _champions(table)}
            self._replaced += [(self._clock(), one) for one in _champions(old) if id(one) not in in_use]
        for task, policy, previous in changes(old, table):
            self._event("champion", task=task, policy=policy, previous=previous)
        for name, fault in table.faults.items():
            if old.faults.get(name) != fault and name not in table.loading:
                self._event("champion_fault", "error", task=name, problem=fault)
        return self.table

    def refresh(self) -> None:
        """Look once at the aliases and at the database, and take over what has changed."""
        self.look_at_aliases()
        self.read_ledger()

    def look_at_aliases(self) -> None:
        """Reload where an alias has changed, where it was asked for, where something was deferred, or where a fault is due
        to be tried again; free champions that no call can ask any more."""
        self._retire()
        is_asked, self._is_asked_to_reload = self._is_asked_to_reload, False
        is_due = bool(self.table.faults) and self._clock() - self._loaded_at >= RETRY_S
        if is_asked or is_due or self.table.loading or self._aliases.fingerprint() != self._fingerprint:
            self.reload()

    def _retire(self) -> None:
        settled = self._clock() - SETTLED_S
        for at, champion in list(self._replaced):
            if at <= settled:
                self._replaced.remove((at, champion))
                champion.retire()

    # For others to show

    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks that can be recognised."""
        return tuple(self.table.routes)

    def states(self) -> dict[str, TaskState]:
        """Every task's state, for the start-up lines."""
        return task_states(self.table)

    def faults(self) -> dict[str, str]:
        """What could not be loaded, in words; also that the database has been away for over GRACE_S seconds."""
        found = dict(self.table.faults)
        away_s = self._clock() - self._read_at
        if self._ledger is not None and away_s > GRACE_S:
            found["revocations"] = (
                f"The database has not answered for {away_s:.0f} s. The {len(self.table.revoked)} revocations known go on "
                "to hold; newer ones are not known."
            )
        return found

    def realised(self) -> Iterable[RealisedError]:
        """What the audits say of each certificate in use (for gateway.telemetry's `watch`)."""
        return realised_errors(self.table, self._findings.evidence)

    # Watching

    def _watch(self, name: str, look: Callable[[], None]) -> None:
        while True:
            self._wake.wait(0.0 if self.table.loading else POLL_S)
            self._wake.clear()
            if self._is_closed:
                return
            try:
                look()
            except Exception as problem:  # the table in use goes on serving, and the next look may go well
                _LOG.warning("looking at the %s failed: %s: %s", name, type(problem).__name__, problem)

    def read_ledger(self) -> None:
        """Take over new revocations and audits; where the database is away, what is known goes on to hold."""
        if self._ledger is None:
            return
        in_use = [route.champion.policy_id for route in self.table.routes.values() if route.champion is not None]
        try:
            findings = self._ledger.read(in_use)
        except Exception as problem:  # any driver's own: what is known of revocations goes on to hold
            if not self._is_away_told and self._clock() - self._read_at > GRACE_S:
                self._is_away_told = True
                self._event("revocations_unknown", "warning", problem=type(problem).__name__)
            return
        self._read_at, self._is_away_told = self._clock(), False
        self._take(findings)

    def _take(self, findings: Findings) -> None:
        with self._swap:
            # A revocation is for good, also where the database lost it.
            before = self._findings.revoked
            revoked = before | findings.revoked
            self._findings = replace(findings, revoked=revoked)
            if revoked == before:
                return
            self._put(with_revocations(self.table, revoked))
        for route in self.table.routes.values():
            if route.champion is not None and route.champion.policy_id in revoked - before:
                self._event("certificate_revoked", "warning", task=route.task, policy=route.champion.policy_id)
        try:
            remember(self._memory, revoked)
        except OSError as problem:
            _LOG.warning("%s cannot be written: %s", self._memory, problem)

    def _put(self, table: RoutingTable) -> None:
        # One assignment: a call sees the old router or the new one.
        self._router = TableRouter(table, self._router.failures)


def _champions(table: RoutingTable) -> list[Champion]:
    return [route.champion for route in table.routes.values() if route.champion is not None]
