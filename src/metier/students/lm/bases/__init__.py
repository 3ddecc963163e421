"""Pretrained language models: where they come from, under what terms, in one layout."""
