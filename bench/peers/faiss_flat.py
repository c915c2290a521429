"""FAISS IndexFlatIP over clustered random unit vectors: writes them for ours to read, times itself, prints one JSON line.

python bench/peers/faiss_flat.py FOLDER ROWS DIMENSION QUERIES
"""

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np

folder, rows, dimension, count = Path(sys.argv[1]), *map(int, sys.argv[2:5])
faiss.omp_set_num_threads(1)
random = np.random.default_rng(1)
centres = random.standard_normal((1000, dimension), dtype=np.float32)


def near(some):
    x = centres[random.integers(0, len(centres), some)] + random.standard_normal((some, dimension), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


vectors, queries = near(rows), near(count)
index = faiss.IndexFlatIP(dimension)
index.add(vectors)
faiss.write_index(index, str(folder / "vectors.faiss"))
np.save(folder / "queries.npy", queries)


def timed(size):
    walls, cpus = [], []
    for at in range(0, count - size + 1, size):
        wall, cpu = time.perf_counter(), time.process_time()
        index.search(queries[at : at + size], 10)
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
    return {"p50": float(np.median(walls)), "cpu": float(np.median(cpus))}


top = index.search(queries, 10)[1].tolist()
print(json.dumps({"version": faiss.__version__, "1": timed(1), "64": timed(64), "top": top}))
