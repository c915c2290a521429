import { expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import { checkBind } from "../../base/http/serve.ts";
import { openUrl } from "./open-url.ts";

test.each([
  "qdrant+http://",
  "qdrant+http://127.0.0.1:70000/x",
  "qdrant+http://127.0.0.1/%zz",
  "pgvector://127.0.0.1:70000/x",
  "opensearch+http://127.0.0.1:70000/i",
])("the address %s is a mistake of the user, named with its remedy", async (url) => {
  const error = await openUrl(url, 1000).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).message).toContain(url);
  expect((error as ConfigError).hint).toBeTruthy();
});

test.each(["abc\ndefghijklmnopqrst", "sixteen or more ümlauts", "================", "with spaces in its text"])(
  "--token %j, which no header can carry, is refused at start",
  (token) => expect(() => checkBind("127.0.0.1", token)).toThrow(/--token holds characters/),
);
