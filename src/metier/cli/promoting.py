"""`metier promote`: which policy answers for a task at the gateway; back to the one before; none at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.markup import escape

from metier.artefacts.datasets import Dataset
from metier.artefacts.manifests import Manifest
from metier.artefacts.policies import Certificate, Policy
from metier.cli.lookup import latest_dataset
from metier.cli.session import Session, session
from metier.cli.terminal import err, out
from metier.errors import BadArtefact, BadInput, NotFound
from metier.gateway.settings import RouteSettings
from metier.store.aliases import Alias, AliasStore, read_alias
from metier.store.database import open_database
from metier.store.revocations import Revocation, read_revocations

_SOON = "Running gateways take it over within two seconds."
_LOADED = "Running gateways take it over once they have loaded it."


def promote_command(
    task: Annotated[str, typer.Argument(help="Task by name.")],
    policy: Annotated[
        str | None,
        typer.Argument(
            metavar="POLICY",
            help="Id of a policy, or its beginning; by default the newest certified one for the newest dataset.",
        ),
    ] = None,
    *,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the champion before this one.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Take the champion away: all calls of the task escalate.")] = False,
) -> None:
    """Make a certified policy the champion of its task: running gateways then answer by it."""
    if rollback + off + (policy is not None) > 1:
        raise BadInput("give one of POLICY, --rollback and --off: each names the champion that the task shall have.")
    with session(Path.cwd(), err) as at:
        aliases = AliasStore(at.store.root)
        if off:
            alias = aliases.retire(task, at.now())
            out.print(
                f"{task}: no champion; before, {alias.previous}. {_SOON}", markup=False, highlight=False, soft_wrap=True
            )
            return
        if rollback:
            before = aliases.read(task)
            if before is not None and before.previous is not None:
                _certificate(at, at.store.manifest("policy", before.previous))
            _print(at, aliases.roll_back(task, at.now()))
        else:
            promote(at, task, policy)


def promote(at: Session, task: str, policy: str | None = None) -> None:
    """Make a policy, by default the newest certified one, its task's champion, and say so. Raises as `_chosen` and
    `_certificate` do."""
    manifest = _chosen(at, task, policy)
    _certificate(at, manifest)
    _print(at, AliasStore(at.store.root).promote(str(manifest.task), manifest.id, at.now()))


def _print(at: Session, alias: Alias) -> None:
    for line in _described(at, alias):
        out.print(line, highlight=False, soft_wrap=True)


def champions(root: Path) -> dict[str, str]:
    """Policy id -> task of every champion; an alias that cannot be read is passed over."""
    found = {}
    for path in AliasStore(root).paths():
        try:
            alias = read_alias(path)
        except BadArtefact:
            continue
        if alias.champion is not None:
            found[alias.champion] = alias.task
    return found


def _chosen(at: Session, task: str, policy: str | None) -> Manifest:
    """The policy meant. Raises NotFound where there is none, or it is no policy of the task."""
    if policy is None:
        found = latest_dataset(at, task).manifest
        if found.task != task:
            # What answers customers is changed by its whole name only.
            raise NotFound(f"no task is called '{task}'. Did you mean: metier promote {found.task}")
        return _newest_certified(at, found)
    manifest = at.store.resolve(policy)
    if manifest.kind != "policy":
        raise NotFound(
            f"'{policy}' is the {manifest.kind} {manifest.id}, not a policy. 'metier ls policy' lists those."
        )
    if manifest.task != task:
        raise NotFound(f"policy {manifest.id} is of task '{manifest.task}', not of '{task}'.")
    return manifest


def _newest_certified(at: Session, dataset: Manifest) -> Manifest:
    found = [one for one in at.store.manifests("policy", dataset.task) if one.inputs.get("dataset") == dataset.id]
    if not found:
        raise NotFound(
            f"no policy for the newest dataset of '{dataset.task}' yet. Run: metier calibrate {dataset.task}"
        )
    for manifest in found:
        if cast(Policy, at.store.load(manifest)).certificate is not None:
            return manifest
    return found[0]


def _certificate(at: Session, manifest: Manifest) -> Certificate:
    """The certificate of a policy that may be promoted. Raises BadInput where it has none or it was revoked."""
    policy = cast(Policy, at.store.load(manifest))
    if policy.certificate is None:
        needed = f" About {policy.labels_needed:,} more calibration labels are needed." if policy.labels_needed else ""
        raise BadInput(f"policy {manifest.id} has no certificate, so it could keep nothing: {policy.reason}{needed}")
    revoked = _revocation(at, manifest.id)
    if revoked is not None:
        raise BadInput(
            f"the certificate of policy {manifest.id} was revoked: {revoked.reason} Curate newer calls, train and "
            f"calibrate again: metier run {manifest.task}"
        )
    return policy.certificate


def _revocation(at: Session, policy_id: str) -> Revocation | None:
    """Whether a gateway has revoked the policy. Raises StoreAway where a database that should know cannot be reached."""
    default = at.project.store_folder / "traffic.db"
    if not at.project.project.traffic and not default.exists():
        return None
    database = open_database(at.project.traffic_url)
    try:
        with database.reading() as connection:
            return read_revocations(connection).get(policy_id)
    finally:
        database.engine.dispose()


def _described(at: Session, alias: Alias) -> Iterator[str]:
    manifest = at.store.manifest("policy", str(alias.champion))
    policy = cast(Policy, at.store.load(manifest))
    given = policy.certificate
    before = f"before, {alias.previous}" if alias.previous else "the first one"
    # Language models have files of hundreds of megabytes.
    soon = _LOADED if policy.student == "lm" else _SOON
    yield f"[bold]{escape(alias.task)}[/]: champion is {policy.student} policy {alias.champion} ({before}). {soon}"
    if given is not None:
        yield (
            f"  Certificate: of the answers kept at most {given.alpha:.1%} are wrong, with confidence "
            f"{1 - given.delta:.0%}; it keeps about {given.coverage.value:.0%} of the calls (n = {given.n:,})."
        )
    try:
        at.store.manifest("specialist", manifest.inputs["specialist"])
    except NotFound as problem:
        yield f"  [yellow]Gateways on this folder cannot load it: {escape(str(problem))}[/]"
    settings = cast(RouteSettings, at.project.settings("route", alias.task))
    yield f"  {_MODES[settings.mode].format(rollout=settings.rollout, task=alias.task)}"
    dataset = cast(Dataset, at.store.load(at.store.manifest("dataset", manifest.inputs["dataset"])))
    if not dataset.forms:
        yield (
            "  [yellow]No form of its answers was learnt, so every call escalates (answer_form): its examples do not come "
            "from recorded calls with a prompt.[/]"
        )


_MODES = {
    "capture": 'Mode: capture. It keeps nothing until metier.toml says mode = "shadow" or "route" in \\[route] or '
    "\\[tasks.{task}.route], and the gateway has read it again (SIGHUP).",
    "shadow": "Mode: shadow. It answers unseen; the client gets the frontier model's answers.",
    "route": "Mode: route, {rollout:g}% of the calls.",
}  # fmt: skip
