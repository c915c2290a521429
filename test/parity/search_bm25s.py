"""The top ten of bm25s, method "lucene", over passages and queries that were cut into words already. JSON in, JSON out."""
import json
import sys

import bm25s

given = json.load(sys.stdin)
vocabulary = {}
for terms in given["passages"]:
    for term in terms:
        vocabulary.setdefault(term, len(vocabulary))
ids = [[vocabulary[term] for term in terms] for terms in given["passages"]]
retriever = bm25s.BM25(k1=given["k1"], b=given["b"], method="lucene")
retriever.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
found = []
for terms in given["queries"]:
    known = [term for term in dict.fromkeys(terms) if term in vocabulary]
    if not known:
        found.append([])
        continue
    best, scores = retriever.retrieve([known], k=given["k"], show_progress=False)
    found.append([[int(passage), float(score)] for passage, score in zip(best[0], scores[0]) if score > 0])
json.dump(found, sys.stdout)
