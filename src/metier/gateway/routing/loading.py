"""Builds a routing table from what is on disk: aliases, champions, audits. One that cannot be loaded stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import cast

from metier.artefacts.manifests import Manifest
from metier.artefacts.tasks import Audit
from metier.errors import MetierError, MissingExtra
from metier.gateway.redaction import Redactor
from metier.gateway.routing.champions import PLAIN_WRITING, Champion, Writing, load_champion, takes_long_to_load
from metier.gateway.routing.inputs import prompt_redactor
from metier.gateway.routing.table import AuditRecogniser, RoutingTable, TaskRoute, task_route
from metier.gateway.settings import RouteSettings
from metier.mining.recognition import Recogniser, build_recogniser
from metier.mining.units import OPEN_ENDED_ID
from metier.store.aliases import Alias, AliasStore, read_alias
from metier.store.folders import ArtefactStore

SettingsOf = Callable[[str], RouteSettings]
_NEWEST_AUDIT = "the newest audit"


@dataclass(frozen=True)
class _Known:
    """An audit's recogniser with the names of its tasks."""

    manifest: Manifest
    recogniser: Recogniser
    tasks: frozenset[str]


def load_table(
    store: ArtefactStore,
    settings_of: SettingsOf,
    old: RoutingTable | None = None,
    seed: int = 0,
    redacts_pii: bool = False,
    writing: Writing = PLAIN_WRITING,
    *,
    defers: bool = False,
) -> RoutingTable:
    """The routing table of a project as it is on disk now.

    Args:
        settings_of: [route] and [tasks.NAME.route] of a task by name.
        old: the table in use. What has not changed is taken over from it, and where a new champion cannot be loaded, the
            old one goes on serving; its revocations are taken over too.
        seed: draws the sample on which recognition tells tasks of one prompt apart.
        redacts_pii: personal data is taken out of what this gateway records, so that prompts and inputs are compared with
            what is left of others.
        writing: how specialists that write are run.
        defers: leave out new champions that take long to load; they are named in `loading`, to be loaded next.

    Returns:
        a table whose `faults` say what could not be loaded and why. Nothing is raised for what lies on disk; where
        `settings_of` raises, the champions that were loaded for this table are freed.
    """
    old = old or RoutingTable()
    faults: dict[str, str] = {}
    loading: set[str] = set()
    opened = ExitStack()

    def load(alias: Alias, before: Champion | None) -> Champion | None:
        if defers and takes_long_to_load(store, alias):
            loading.add(alias.task)
            faults[alias.task] = _kept(f"champion {alias.champion} is being loaded.", before)
            return before
        try:
            champion = load_champion(store, alias, redacts_pii=redacts_pii, writing=writing)
        except Exception as problem:  # whatever lies on disk, the other tasks must be served
            what = str(problem) if isinstance(problem, MetierError) else f"{type(problem).__name__}: {problem}"
            faults[alias.task] = _kept(f"champion {alias.champion} cannot be loaded: {what}", before)
            return before
        opened.callback(champion.end)
        return champion

    with opened:  # frees what was loaded for a table that cannot be finished
        champions = _champions(store, old, faults, load)
        audits = _recognisers(store, champions, old, faults, seed)
        names = {name for known in audits for name in known.tasks} | set(champions)
        routes: dict[str, TaskRoute] = {
            name: task_route(name, settings_of(name), champions.get(name)) for name in sorted(names)
        }
        recognisers = tuple(
            AuditRecogniser(
                known.manifest.id,
                known.recogniser,
                known.tasks,
                frozenset(task for task, champion in champions.items() if champion.audit.id == known.manifest.id),
            )
            for known in audits
        )
        redact = _prompt_redactor(audits, redacts_pii, faults)
        table = RoutingTable(recognisers, routes, faults, old.revoked, frozenset(loading), redact)
        opened.pop_all()
    return table


def _prompt_redactor(audits: Iterable[_Known], redacts_pii: bool, faults: dict[str, str]) -> Redactor | None:
    templates = [template for known in audits for template in known.recogniser.wordings.templates]
    try:
        return prompt_redactor(templates, redacts_pii=redacts_pii)
    except MissingExtra as problem:
        faults["prompts with personal data"] = str(problem)
        return None


def _champions(
    store: ArtefactStore,
    old: RoutingTable,
    faults: dict[str, str],
    load: Callable[[Alias, Champion | None], Champion | None],
) -> dict[str, Champion]:
    serving = {task: route.champion for task, route in old.routes.items() if route.champion is not None}
    found: dict[str, Champion] = {}
    for task, alias in _aliases(store, serving, faults):
        before = serving.get(task)
        if alias is not None and alias.champion is None:
            continue
        if alias is not None and (before is None or before.policy_id != alias.champion):
            before = load(alias, before)
        if before is not None:
            found[task] = before
    return found


def _aliases(
    store: ArtefactStore, serving: Mapping[str, Champion], faults: dict[str, str]
) -> Iterable[tuple[str, Alias | None]]:
    """Each task with its alias; None for one that cannot be read."""
    aliases = AliasStore(store.root)
    for path in aliases.paths():
        try:
            alias = read_alias(path)
        except MetierError as problem:
            # Which task it is of must then be told from the file's name.
            task = next((name for name in serving if aliases.path(name) == path), path.stem)
            faults[task] = _kept(str(problem), serving.get(task))
            yield task, None
        else:
            yield alias.task, alias


def _kept(fault: str, before: Champion | None) -> str:
    return f"{fault} {_serving(before)}"


def _serving(before: Champion | None) -> str:
    return f"Policy {before.policy_id} goes on serving." if before else "All calls of the task are escalated."


def _recognisers(
    store: ArtefactStore, champions: Mapping[str, Champion], old: RoutingTable, faults: dict[str, str], seed: int
) -> list[_Known]:
    """Those of the champions' audits, newest first, and that of the newest audit, for the tasks without a champion."""
    wanted = {champion.audit.id: champion.audit for champion in champions.values()}
    listed = sorted(wanted.values(), key=lambda manifest: (manifest.time, manifest.id), reverse=True)
    try:
        newest = store.latest("audit")
    except MetierError as problem:
        faults[_NEWEST_AUDIT] = str(problem)
        newest = None
    if newest is not None and newest.id not in wanted:
        listed.append(newest)
    known = {one.audit_id: one for one in old.recognisers}
    found = []
    for manifest in listed:
        if manifest.id in known:
            found.append(_Known(manifest, known[manifest.id].recogniser, known[manifest.id].tasks))
            continue
        try:
            audit = cast(Audit, store.load(manifest))
            recogniser = build_recogniser(audit, seed=seed)
        except Exception as problem:  # its tasks are not recognised, so their calls pass; the others are served
            faults[f"audit {manifest.id}"] = f"{problem} The calls of its tasks are passed on."
            continue
        # Open questions are never recognised, so nothing is to be routed.
        tasks = frozenset(row.task.name for row in audit.tasks if row.task.id != OPEN_ENDED_ID)
        found.append(_Known(manifest, recogniser, tasks))
    return found


def with_revocations(table: RoutingTable, revoked: Iterable[str]) -> RoutingTable:
    """The table with these policies revoked, and no others."""
    return replace(table, revoked=frozenset(revoked))
