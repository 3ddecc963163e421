"""LeNER-Br (Luz de Araujo et al., PROPOR 2018): Brazilian legal texts with their entities, as fields of a paragraph.

Read are train.conll, dev.conll and test.conll, the data's own splits: one token and its tag a line, an empty line after
each sentence. Neighbouring sentences are joined to paragraphs, which is what a company would send.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from metier.errors import BadInput
from metier.labs.corpora import Corpus, LeftOut, chat, need

NAME = "lener-br"
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
# Tag of the data -> key of the record.
KEYS = {
    "PESSOA": "pessoa",
    "ORGANIZACAO": "organizacao",
    "LOCAL": "local",
    "TEMPO": "tempo",
    "LEGISLACAO": "legislacao",
    "JURISPRUDENCIA": "jurisprudencia",
}
# A paragraph is closed by the sentence that brings it to so many tokens; a page holds so many paragraphs at most.
PARAGRAPH_TOKENS = 60
PAGE_PARAGRAPHS = 20
# Longer sentences are lists that lost their line ends.
MOST_TOKENS = 400
# The files do not say where a document begins. These openings do for most.
_OPENING = re.compile(
    r"EMENTA :|E M E N T A |Número do Acórdão|PODER JUDICIÁRIO|TRIBUNAL SUPERIOR|Superior Tribunal de Justiça (?:Ag|REC)"
)
_BEFORE = re.compile(r"\s+([,.;:!?)\]}%])")
_AFTER = re.compile(r"([(\[{])\s+")

SYSTEM = """\
Você é o leitor de documentos de um departamento jurídico. Você recebe um parágrafo de um acórdão, de uma lei ou de \
outro documento jurídico brasileiro. Encontre as entidades nomeadas e responda com um único objeto JSON, sem \
explicação e sem bloco de código.

Chaves permitidas; o valor de cada uma é a lista das entidades daquele tipo, na ordem do texto, cada uma uma só vez:

- "pessoa": nomes de pessoas físicas (partes, advogados, relatores, ministros), sem o título nem o cargo
- "organizacao": órgãos, tribunais, turmas, empresas, partidos e outras organizações, também as siglas (STF, INSS)
- "local": cidades, comarcas, estados, países e endereços
- "tempo": datas e períodos determinados, como estão escritos
- "legislacao": leis, códigos, decretos, súmulas vinculantes e os seus artigos, incisos e parágrafos, com tudo o que\
 os identifica
- "jurisprudencia": processos e decisões citados, com classe e número

Copie cada entidade exatamente como está no texto, sem corrigir, abreviar, completar nem traduzir. Omita as chaves \
dos tipos que não ocorrem. Se não houver nenhuma entidade, responda {}.

Exemplo de parágrafo:
Trata-se de recurso interposto por João da Silva contra a decisão do Tribunal de Justiça do Acre de 3 de maio de \
2016, com base no art. 5º, LV, da Constituição Federal.

Resposta:
{"pessoa": ["João da Silva"], "organizacao": ["Tribunal de Justiça do Acre"], "tempo": ["3 de maio de 2016"], \
"legislacao": ["art. 5º, LV, da Constituição Federal"]}"""

_Pairs = list[tuple[str, str]]


def labelled(folder: Path, seed: int = 0) -> Corpus:
    """Paragraphs with their entities as lists of strings by type; splits are the data's own, so `seed` changes nothing.

    A group is a document, or a stretch of twenty paragraphs of one. Raises NotFound where the files are not there, BadInput
    where they are not LeNER-Br's.
    """
    del seed
    need([folder / f"{name}.conll" for name in SPLITS], NAME)
    chats, left_out = [], []
    for name, split in SPLITS.items():
        for number, (page, pairs) in enumerate(_paragraphs(folder / f"{name}.conll")):
            id_ = f"lener-{name}-{number}"
            if len(pairs) > MOST_TOKENS:
                left_out.append(LeftOut(id_, f"more than {MOST_TOKENS} tokens"))
                continue
            text = _written([token for token, _ in pairs])
            chats.append(chat(id_, SYSTEM, text, _entities(pairs), split=split, group=f"{name}-{page}"))
    remark = "the files do not say where a document begins: a group is what lies between two openings, or 20 paragraphs"
    return Corpus(tuple(chats), tuple(left_out), (remark,))


def _paragraphs(path: Path) -> Iterator[tuple[int, _Pairs]]:
    """(number of the page, tokens with tags) of each paragraph; paragraphs end with a sentence, pages before an opening."""
    page, on_page, pairs = 0, 0, list[tuple[str, str]]()
    for sentence in _sentences(path):
        opens = _OPENING.match(" ".join(token for token, _ in sentence[:6])) is not None
        if pairs and (opens or len(pairs) >= PARAGRAPH_TOKENS):
            yield page, pairs
            pairs, on_page = [], on_page + 1
        if on_page and (opens or on_page >= PAGE_PARAGRAPHS):
            page, on_page = page + 1, 0
        pairs = [*pairs, *sentence]
    if pairs:
        yield page, pairs


def _sentences(path: Path) -> Iterator[_Pairs]:
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        sentence = []
        for line in filter(None, block.split("\n")):
            token, _, tag = line.rpartition(" ")
            if not token or (tag != "O" and tag.partition("-")[2] not in KEYS):
                raise BadInput(f"{path}: the line {line[:60]!r} is no token with a tag of LeNER-Br")
            sentence.append((token, tag))
        if sentence:
            yield sentence


def _entities(pairs: _Pairs) -> dict[str, list[str]]:
    """Entities by type, in the order of the text, each once; types that do not occur have no key."""
    spans: list[tuple[str, list[str]]] = []
    open_tag = ""
    for token, tag in pairs:
        mark, _, kind = tag.partition("-")
        if mark == "B" or (mark == "I" and kind != open_tag):
            spans.append((KEYS[kind], [token]))
        elif mark == "I":
            spans[-1][1].append(token)
        open_tag = kind
    found: dict[str, dict[str, None]] = {key: {} for key in KEYS.values()}
    for key, tokens in spans:
        found[key][_written(tokens)] = None
    return {key: list(texts) for key, texts in found.items() if texts}


def _written(tokens: list[str]) -> str:
    """Tokens as running text: no space before a comma, none after a bracket."""
    text = " ".join(tokens).replace("``", '"').replace("''", '"')
    return _AFTER.sub(r"\1", _BEFORE.sub(r"\1", text))
