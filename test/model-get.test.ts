/** @file Models from a hub that is a real process on the loopback: whatever the network does, what is kept is whole. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type GetOptions, getModel } from "../src/engine/huggingface/hub/get-model.ts";
import { loadTokenizer } from "../src/engine/huggingface/tokenizer.ts";
import { type Hub, startHub } from "./hub/start-hub.ts";
import { startCli } from "./support/cli-process.ts";
import { writeTinyPolicy } from "./support/tiny-policy.ts";

const root = mkdtempSync(join(tmpdir(), "model-get-"));
const tiny = join(root, "tiny");
const weights = "model.safetensors";
let hub: Hub;
let places = 0;

beforeAll(async () => {
  writeTinyPolicy(tiny);
  writeFileSync(join(tiny, "pytorch_model.bin"), "not needed");
  writeFileSync(join(tiny, "README.md"), "not needed");
  const strange = join(root, "strange");
  cpSync(tiny, strange, { recursive: true });
  const config = JSON.parse(readFileSync(join(tiny, "config.json"), "utf8")) as object;
  writeFileSync(join(strange, "config.json"), JSON.stringify({ ...config, model_type: "mamba" }));
  const pickled = join(root, "pickled");
  cpSync(tiny, pickled, { recursive: true });
  rmSync(join(pickled, weights));
  hub = await startHub(tiny, strange, pickled);
});
afterAll(() => {
  hub.stop();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(async () => {
  await hub.faults({});
  await hub.log();
});

interface Place {
  readonly cache: string;
  readonly directory: string;
}
const newPlace = (): Place => {
  const place = join(root, `place-${places++}`);
  return { cache: join(place, "cache"), directory: join(place, "model") };
};
const get = (place: Place, more: Partial<GetOptions> & { token?: string; offline?: boolean } = {}) => {
  const { token, offline = false, ...rest } = more;
  const settings = { endpoint: hub.url, token, offline, cache: place.cache };
  return getModel({ repo: "test/tiny", revision: "main", directory: place.directory, hub: settings, ...rest });
};
const needed = [
  "config.json",
  "generation_config.json",
  weights,
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer_config.json",
];
const expectWhole = (directory: string) => {
  for (const name of needed)
    expect(readFileSync(join(directory, name)).equals(readFileSync(join(tiny, name))), name).toBe(true);
};

test("the files that are needed come, whole, with their commit and licence; a second call asks for no file", async () => {
  const place = newPlace();
  const got = await get(place);
  expectWhole(place.directory);
  expect(readdirSync(place.directory).sort()).toEqual([...needed, "r1_searcher_source.json"].sort());
  expect(got).toMatchObject({ commit: "1".repeat(40), license: "apache-2.0", loadedBytes: expect.any(Number) });
  expect(JSON.parse(readFileSync(join(place.directory, "r1_searcher_source.json"), "utf8"))).toEqual({
    ...{ endpoint: hub.url, repo: "test/tiny", revision: "main", commit: "1".repeat(40), license: "apache-2.0" },
  });
  await hub.log();
  expect(await get(place)).toMatchObject({ loadedBytes: 0 });
  expect((await hub.log()).map(({ path }) => path)).toEqual([expect.stringMatching(/^\/api\/models\//)]);
});

test("without a folder the model is used where the cache keeps it, in the layout of Hugging Face's own tools", async () => {
  const place = newPlace();
  const { directory } = await get(place, { directory: undefined });
  expect(directory).toBe(join(place.cache, "models--test--tiny", "snapshots", "1".repeat(40)));
  expectWhole(directory);
  await loadTokenizer(directory);
  expect(readFileSync(join(place.cache, "models--test--tiny", "refs", "main"), "utf8")).toBe("1".repeat(40));
});

test("a broken transfer goes on from the byte it had, as often as it breaks", async () => {
  const place = newPlace();
  await hub.faults({ cut: { file: weights, bytes: 9000, times: 3 } });
  await get(place);
  expectWhole(place.directory);
  const asked = (await hub.log()).filter(({ host, path }) => host === "storage" && path.includes(weights));
  const starts = asked.map(({ range }) => Number(/\d+/.exec(range ?? "0")![0]));
  expect(starts).toEqual([0, expect.any(Number), expect.any(Number), expect.any(Number)]);
  expect(starts).toEqual([...starts].sort((a, b) => a - b));
  expect(starts.at(-1)).toBeGreaterThan(0);
});

test("a server that hears no ranges sends it all again, and that is taken for the beginning", async () => {
  const place = newPlace();
  await hub.faults({ cut: { file: weights, bytes: 9000, times: 1 }, noRanges: true });
  await get(place);
  expectWhole(place.directory);
});

test("a file that differs from its checksum is not kept; a beginning that was wrong is loaded anew", async () => {
  const place = newPlace();
  await hub.faults({ corrupt: { file: weights, times: 1 } });
  await expect(get(place)).rejects.toThrow(/test\/tiny: the content of model\.safetensors does not match its checksum/);
  expect(existsSync(join(place.directory, weights))).toBe(false);
  expect(
    readdirSync(join(place.cache, "models--test--tiny", "blobs")).filter((name) => name.endsWith(".incomplete")),
  ).toEqual([]);
  // half of it wrong from before, the rest right from now
  await hub.faults({ slowMs: 100, corrupt: { file: weights, times: 1 } });
  const stop = new AbortController();
  const half = get(place, { signal: stop.signal, onProgress: ({ bytes }) => bytes > 25_000 && stop.abort() });
  await expect(half).rejects.toThrow(/is not complete/);
  await hub.faults({});
  await get(place);
  expectWhole(place.directory);
});

test("a file of the cache that was damaged since is loaded anew", async () => {
  const place = newPlace();
  const { directory } = await get(place, { directory: undefined });
  writeFileSync(join(directory, "tokenizer_config.json"), "{}");
  const blob = readFileSync(join(directory, weights));
  blob[100]! ^= 1;
  writeFileSync(join(directory, weights), blob);
  await expect(get(place, { offline: true, directory: undefined })).rejects.toThrow(
    /tokenizer_config\.json is damaged/,
  );
  await get(place);
  expectWhole(place.directory);
});

test("the token goes to the hub and to nobody that it redirects to", async () => {
  const place = newPlace();
  await hub.faults({ token: "hf_secret" });
  await get(place, { token: "hf_secret" });
  const seen = await hub.log();
  const of = (host: string) => new Set(seen.filter((line) => line.host === host).map((line) => line.authorization));
  expect(of("hub")).toEqual(new Set(["Bearer hf_secret"]));
  expect(of("storage")).toEqual(new Set([undefined]));
});

test.each<[string, Partial<Parameters<typeof get>[1]>, number[], RegExp, RegExp]>([
  ["no such model", { repo: "test/none" }, [], /test\/none: the hub has no such model/, /check the name/],
  ["no such revision", {}, [404], /no revision main/, /--revision/],
  ["a private model", {}, [401], /no such public model/, /HF_TOKEN/],
  ["a token that is none", { token: "hf_wrong" }, [401], /does not accept HF_TOKEN/, /new token/],
  [
    "terms that were not accepted",
    { token: "hf_right" },
    [403],
    /does not let you read it/,
    /accept the model's terms/,
  ],
  [
    "a hub that is asked too often",
    {},
    [429, 429, 429, 429, 429],
    /asks to try again later/,
    /already downloaded are kept/,
  ],
  ["a hub that fails", {}, [500, 502, 503, 500, 500], /the hub failed.*status 500/, /again later/],
])("%s is said in one line with a remedy, without the token", async (_, more, statuses, message, hint) => {
  await hub.faults({ refuse: { file: "api", statuses } });
  const fault = await get(newPlace(), more).catch((error: Error & { hint?: string }) => error);
  expect(fault).toMatchObject({ message: expect.stringMatching(message), hint: expect.stringMatching(hint) });
  expect(JSON.stringify(fault) + String((fault as Error).stack)).not.toContain("hf_");
});

test("a hub that asks to wait is waited for", async () => {
  const place = newPlace();
  await hub.faults({ refuse: { file: "config.json", statuses: [429, 503] } });
  await get(place);
  expectWhole(place.directory);
});

test("offline, and where the hub is away, the cache does; what it lacks is said", async () => {
  const place = newPlace();
  await expect(get(place, { offline: true })).rejects.toThrow(/has no test\/tiny at main/);
  await get(place);
  await hub.log();
  rmSync(place.directory, { recursive: true });
  await get(place, { offline: true });
  expectWhole(place.directory);
  expect(await hub.log()).toEqual([]);
  const away = { endpoint: "http://127.0.0.1:1", token: undefined, offline: false, cache: place.cache };
  const said: string[] = [];
  const elsewhere = join(place.directory, "..", "second");
  await get(place, { hub: away, directory: elsewhere, onMessage: (text) => said.push(text) });
  expectWhole(elsewhere);
  expect(said).toEqual([
    expect.stringMatching(/^the hub cannot be reached .*127\.0\.0\.1:1.*using what the cache has/),
  ]);
  const empty = newPlace();
  await expect(get(empty, { hub: { ...away, cache: empty.cache } })).rejects.toThrow(
    /^the hub cannot be reached: http/,
  );
});

test("a folder that was begun keeps to its commit, though the branch has moved since", async () => {
  const place = newPlace();
  await hub.faults({ slowMs: 100 });
  const stop = new AbortController();
  const begun = get(place, { signal: stop.signal, onProgress: ({ bytes }) => bytes > 20_000 && stop.abort() });
  await expect(begun).rejects.toThrow(/is not complete/);
  await hub.faults({});
  await hub.log();
  await get(place);
  expect((await hub.log())[0]!.path).toContain(`/revision/${"1".repeat(40)}`);
  await expect(get(place, { revision: "v2" })).rejects.toThrow(/holds test\/tiny at main/);
  await expect(get(place, { repo: "test/strange" })).rejects.toThrow(/holds test\/tiny at main/);
});

test("what cannot be used is refused before its weights are loaded", async () => {
  await expect(get(newPlace(), { repo: "test/strange" })).rejects.toThrow(/model_type "mamba" is not supported/);
  await expect(get(newPlace(), { repo: "test/pickled" })).rejects.toThrow(/no weights in safetensors/);
  expect((await hub.log()).filter(({ path }) => path.includes(weights))).toEqual([]);
  const full = newPlace();
  mkdirSync(full.directory, { recursive: true });
  writeFileSync(join(full.directory, "thesis.txt"), "x");
  await expect(get(full)).rejects.toThrow(/is not empty/);
  for (const repo of ["tiny", "a/b/c", "../x", "test/..", "test/a b"])
    await expect(get(newPlace(), { repo })).rejects.toThrow(/is not the name of a model/);
  await expect(get(newPlace(), { revision: "../../x" })).rejects.toThrow(/neither a branch/);
});

test("the program, stopped with Ctrl-C, goes on where it was, and shows no token", async () => {
  const place = newPlace();
  const env = { HF_ENDPOINT: hub.url, HF_HUB_CACHE: place.cache, HF_TOKEN: "hf_secret" };
  const args = ["model", "get", "test/tiny", place.directory, "--json"];
  await hub.faults({ token: "hf_secret", slowMs: 100 });
  const first = startCli(args, {
    env,
    onText: (text) => /\b[2-6]\d\/100 % ·/.test(text) && first.signal("SIGINT"),
  });
  const stopped = await first.ended;
  expect([stopped.code, stopped.stderr]).toEqual([
    130,
    expect.stringMatching(/stopped: the download of test\/tiny is not complete\nhint: run the same command again/),
  ]);
  const blobs = join(place.cache, "models--test--tiny", "blobs");
  const had = readdirSync(blobs).reduce((sum, name) => sum + statSync(join(blobs, name)).size, 0);
  expect(had).toBeGreaterThan(0);
  await hub.faults({ token: "hf_secret" });
  const second = await startCli(args, { env }).ended;
  expect([second.code, second.stderr]).toEqual([0, expect.stringContaining("test/tiny at commit 1111")]);
  const { files, loadedBytes } = JSON.parse(second.stdout) as { files: { bytes: number }[]; loadedBytes: number };
  expect(loadedBytes).toBe(files.reduce((sum, { bytes }) => sum + bytes, 0) - had);
  expectWhole(place.directory);
  expect(stopped.stdout + stopped.stderr + second.stdout + second.stderr).not.toContain("hf_secret");
});
