import type { ProgramTable } from "../scripts/named-programs.ts";

export const benchmarks: ProgramTable = {
  word: "bench",
  title: "Speed of this program, beside others where they can run.",
  usual: "nano",
  programs: [
    {
      name: "nano",
      file: "bench/nano/run.ts",
      summary: "a training step of the bundled model, sampling, learning and memory, beside PyTorch",
      duration: "15 min",
    },
    {
      name: "models",
      file: "bench/models/run.ts",
      summary: "the same of a checkpoint, beside transformers and a tuned PyTorch program",
      duration: "an hour with SmolLM2-135M",
      needs: "a model folder; Python with torch and transformers for the comparison",
    },
    {
      name: "lora",
      file: "bench/lora/run.ts",
      summary: "processor time of an adapter merged, apart, and of training all weights",
      duration: "1 min with models/nano",
      needs: "a model folder",
    },
    {
      name: "search",
      file: "bench/search/run.ts",
      summary: "the index beside bm25s and Lucene",
      duration: "1 min",
      needs: "Python with bm25s and numba, and a JDK with Lucene, for the comparison",
    },
    {
      name: "dense",
      file: "bench/dense/run.ts",
      summary: "the exact search among vectors beside FAISS",
      duration: "5 min",
      needs: "Python with faiss-cpu and numpy",
    },
  ],
};
