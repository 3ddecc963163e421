"""The templates of a sample of prompts: clustered, written down, and every prompt matched again against them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from metier.artefacts.tasks import Template, TemplateMessage
from metier.mining.clusters import Cluster, cluster_prompts
from metier.mining.literals import make_template, write_template
from metier.mining.prompts import Prompt
from metier.mining.shingles import TokenIds, shingle_prompts
from metier.mining.tables import fixed_tables

# Where nothing recurs but the roles, the input is all there is. Matches any prompt that no other template matches.
OPEN_TEMPLATE = make_template((TemplateMessage("user", ("", "")),), 0)


def mine_templates(prompts: Sequence[Prompt], min_support: int, seed: int) -> list[Template]:
    """Templates that at least `min_support` of the prompts share, most specific forms first found; the order is stable.

    Time grows with the text of the prompts times the depth of the split, which is small; no pair of prompts is compared.
    """
    if not prompts:
        return []
    ids_of = TokenIds()
    fixed = fixed_tables((text for prompt in prompts for text in prompt.texts), min_support)
    shingles = shingle_prompts(prompts, min_support, ids_of, fixed)
    found: dict[str, Template] = {}
    for cluster in cluster_prompts(shingles, min_support, seed):
        literal = frozenset(shingles.hashes[cluster.literal].tolist())
        for members in _by_roles(prompts, cluster, min_support):
            template = write_template(members, literal, ids_of, fixed)
            found.setdefault(template.id, template)
    return list(found.values())


def is_open(template: Template) -> bool:
    """Whether no user message of the template holds instructions: the user wrote all of it."""
    return all(not any(message.literals) for message in template.messages if message.role == "user")


def _by_roles(prompts: Sequence[Prompt], cluster: Cluster, min_support: int) -> list[list[Prompt]]:
    groups: dict[tuple[str, ...], list[Prompt]] = defaultdict(list)
    for index in cluster.prompts.tolist():
        groups[prompts[index].roles].append(prompts[index])
    return [group for roles, group in groups.items() if roles and len(group) >= min_support]
