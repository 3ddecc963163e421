"""Pretrained language models: where they come from, under what terms, in one layout."""

from metier.students.lm.bases.cache import cache_folder
from metier.students.lm.bases.finding import find_base, licence_of, revision_of
from metier.students.lm.bases.licences import Licence

__all__ = ["Licence", "cache_folder", "find_base", "licence_of", "revision_of"]
