"""bm25s with numba on a corpus of the bench: build from text, then queries one at a time. Prints one JSON object."""
import json, os, resource, sys, time

import bm25s

corpus, queries, folder = sys.argv[1:4]
k = 10
os.makedirs(folder, exist_ok=True)
start, cpu = time.perf_counter(), time.process_time()
texts = []
with open(corpus) as lines:
    for line in lines:
        row = json.loads(line)
        texts.append(row["title"] + " " + row["text"])
tokens = bm25s.tokenize(texts, stopwords="en", show_progress=False)
passages = len(texts)
del texts
retriever = bm25s.BM25(k1=0.9, b=0.4, method="lucene", backend="numba")
retriever.index(tokens, show_progress=False)
retriever.save(folder)
report = {
    "passages": passages,
    "buildSeconds": time.perf_counter() - start,
    "buildCpuSeconds": time.process_time() - cpu,
    "buildPeakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "diskBytes": sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)),
    "version": f"bm25s {bm25s.__version__}, numba",
}
del tokens


def timed(texts):
    """Positions and scores; it keeps no texts."""
    times = []
    cpu = time.process_time()
    for text in texts:
        begun = time.perf_counter()
        asked = bm25s.tokenize([text], stopwords="en", show_progress=False)
        retriever.retrieve(asked, k=k, n_threads=1, show_progress=False)
        times.append((time.perf_counter() - begun) * 1000)
    cpu = (time.process_time() - cpu) * 1000 / len(texts)
    times.sort()
    return {"p50": times[len(times) // 2], "p95": times[int(len(times) * 0.95)], "cpu": cpu}


for kind, asked in json.load(open(queries)).items():
    timed(asked["warm"])  # compiles
    report[kind] = {"ranked": timed(asked["ranked"])}
print(json.dumps(report))
