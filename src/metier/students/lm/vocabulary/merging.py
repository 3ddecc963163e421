"""How byte-pair encoding puts a token together: the steps on the way, which a smaller vocabulary has to keep.

Encoding starts from single characters and applies, again and again, the best-ranked merge that fits anywhere (the leftmost
of equals). Let a token stand in some segmentation. No merge ever crossed its ends, or they would not be its ends; so the
merges inside it were the best available inside it, in the order they would have had with the token alone in the text. Hence
a token's derivation is always the same, `derivation(token)`, and a vocabulary is *closed* when it holds, with every token,
all tokens of its derivation.

Claim: a closed vocabulary, with the base's merges among its tokens in their order, segments every text whose base
segmentation uses kept tokens only exactly as the base does. Proof, by induction over the merges: both are in one state.
The base applies its best available merge (a, b); what it makes is part of the derivation of a token of the result, which is
kept, so a, b and ab are kept and the merge is among those that are left. Those are a subset of the base's, in the same
order: none of them that is available can be better. So the same merge is applied. When the base stops, no merge of the base
is available, hence none of the subset. QED. (SentencePiece's own algorithm, which llama.cpp uses, ranks by the score of the
product and takes the leftmost of equals; the same proof holds with the derivation under that order, so both are kept.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Pair = tuple[str, str]


@dataclass(frozen=True)
class Merging:
    """The merges of a vocabulary: `ranks` by pair and `product_ranks` by what the pair makes, 0 is applied first."""

    ranks: Mapping[Pair, int]
    product_ranks: Mapping[str, int]

    @classmethod
    def of(cls, merges: Iterable[Pair]) -> Merging:
        """From a list of merges, the best first."""
        ranks: dict[Pair, int] = {}
        products: dict[str, int] = {}
        for rank, pair in enumerate(merges):
            ranks.setdefault(pair, rank)
            products.setdefault(pair[0] + pair[1], rank)
        return cls(ranks, products)

    def derivation(self, token: str) -> frozenset[str] | None:
        """Every token on the way from single characters to `token`, itself among them; None where merging ends elsewhere,
        so that no text is ever segmented into it."""
        used = self._walk(token, by_product=False)
        if used is None:
            return None
        by_score = self._walk(token, by_product=True)
        # Where equal scores make the two orders part, llama.cpp does not reach the token; tokenizers' way is kept.
        return frozenset(used if by_score is None else used | by_score)

    def _walk(self, token: str, *, by_product: bool) -> set[str] | None:
        parts = list(token)
        used = set(parts)
        while len(parts) > 1:
            best, where = None, -1
            for index in range(len(parts) - 1):
                pair = (parts[index], parts[index + 1])
                rank = self.ranks.get(pair)
                if rank is not None and by_product:
                    rank = self.product_ranks[pair[0] + pair[1]]
                if rank is not None and (best is None or rank < best):
                    best, where = rank, index
            if best is None:
                return None
            parts[where : where + 2] = [parts[where] + parts[where + 1]]
            used.add(parts[where])
        return used


def merges_among(merges: Iterable[Pair], tokens: Iterable[str]) -> list[Pair]:
    """The merges whose two sides and product are all among `tokens`, in their order."""
    kept = set(tokens)
    return [pair for pair in merges if pair[0] in kept and pair[1] in kept and pair[0] + pair[1] in kept]
