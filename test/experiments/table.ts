import type { NamedProgram, ProgramTable } from "../../scripts/named-programs.ts";

const learning: readonly NamedProgram[] = [
  {
    name: "learn",
    file: "test/experiments/learn.ts",
    summary: "trains recipes with several seeds and writes the tables of docs/results.md",
    duration: "half an hour with the defaults",
  },
  {
    name: "model-info",
    file: "test/experiments/model-info.ts",
    summary: "compares the speed and memory that `model info` predicts with what the engine does",
    duration: "2 min with models/nano",
    needs: "a model folder; Linux",
  },
];

const faults: readonly NamedProgram[] = [
  {
    name: "kill-test",
    file: "test/experiments/kill-test.ts",
    summary: "kills, starves and damages training runs; each must resume to the same bytes",
    duration: "an hour",
  },
  {
    name: "search-outage",
    file: "test/experiments/search-outage.ts",
    summary: "trains while the search server is away and while 30 % of requests fail",
    duration: "2 min",
  },
  {
    name: "load-search",
    file: "test/experiments/load-search.ts",
    summary: "the search server under 200 clients, 500 sockets that never finish, and while it is stopped",
    duration: "3 min",
    needs: "an idle machine",
  },
  {
    name: "index-crash",
    file: "test/experiments/index-crash.ts",
    summary: "kills what writes to an index before each call that makes something durable",
    duration: "20 min",
  },
  {
    name: "index-mutations",
    file: "test/experiments/index-mutations.ts",
    summary: "damages files of an index: refused or failed, never another answer",
    duration: "1 min",
  },
];

const search: readonly NamedProgram[] = [
  {
    name: "search-exact",
    file: "test/experiments/search-exact.ts",
    summary: "compares the index with BM25 by its formula, however it is cut into segments",
    duration: "5 min",
  },
  {
    name: "searx",
    file: "test/experiments/searx.ts",
    summary: "searches the web through a real searx",
    duration: "1 min",
    needs: "searx (apt-get install searx)",
  },
  {
    name: "recall",
    file: "test/experiments/recall.ts",
    summary: "gold paragraphs of real questions found by words, by vectors and by both",
    duration: "an hour",
    needs: "HotpotQA and MuSiQue, an encoder",
  },
];

const parity: readonly NamedProgram[] = [
  {
    name: "parity:search",
    file: "test/parity/compare-search.ts",
    summary: "the index beside bm25s",
    duration: "1 min",
    needs: "Python with bm25s",
  },
  {
    name: "parity:families",
    file: "test/parity/compare-families.ts",
    summary: "random models beside transformers: log-probabilities, gradients, greedy text, saved folders",
    duration: "2 min",
    needs: "Python with torch and transformers",
  },
  {
    name: "parity:lora",
    file: "test/parity/compare-lora.ts",
    summary: "adapters of the same models beside PEFT, merged and apart",
    duration: "2 min",
    needs: "Python with torch, transformers and peft",
  },
  {
    name: "parity:sharing",
    file: "test/parity/compare-sharing.ts",
    summary: "shared prompts, packed sequences and recomputed layers against every sequence by itself",
    duration: "1 min",
  },
  {
    name: "parity:export",
    file: "test/parity/compare-export.ts",
    summary: "exported folders in transformers and GGUF files in llama.cpp",
    duration: "2 min",
    needs: "Python with torch and transformers, Python with llama-cpp-python",
  },
  {
    name: "parity:templates",
    file: "test/parity/compare-templates.ts",
    summary: "1,000 conversations and texts, tools included, beside transformers",
    duration: "1 min",
    needs: "Python with transformers",
  },
  {
    name: "parity:estimators",
    file: "test/parity/compare-estimators.ts",
    summary: "advantages and losses beside a restatement of their formulas in plain Python",
    duration: "1 min",
    needs: "Python",
  },
];

export const experiments: ProgramTable = {
  word: "experiment",
  title: "Experiments: what takes too long for the test suite, or needs other programs.",
  programs: [...learning, ...faults, ...search, ...parity],
};
