"""Writes test/parity/fixtures/vectors: random vectors of our own, as FAISS and NumPy store them, and FAISS's top 10.

pip install faiss-cpu numpy; python test/parity/make_vector_fixtures.py
"""

import json
from pathlib import Path

import faiss
import numpy as np

here = Path(__file__).parent / "fixtures" / "vectors"
here.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(20261125)
rows = random.standard_normal((400, 24), dtype=np.float32)
queries = random.standard_normal((12, 24), dtype=np.float32)
np.save(here / "queries.npy", queries)
top = {}
for name, index in {"ip": faiss.IndexFlatIP(24), "l2": faiss.IndexFlatL2(24)}.items():
    index.add(rows)
    faiss.write_index(index, str(here / f"flat-{name}.faiss"))
    top[name] = index.search(queries, 10)[1].tolist()
(here / "top10.json").write_text(json.dumps(top) + "\n")
