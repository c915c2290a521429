/**
 * @file Runs before all tests (globalSetup of vitest.config.ts): compiles the sources once. Programs and workers that
 * tests start run compiled, instead of each compiling the sources again; the tests themselves import the sources.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { compilePackage } from "./compiled-package.ts";

export default function compileOnce(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), "r1-searcher-compiled-"));
  const compile = () => {
    process.env["R1_SEARCHER_COMPILED"] = compilePackage(join(folder, "package"));
  };
  compile();
  project.onTestsRerun(async () => compile()); // in watch mode the sources change
  return () => rmSync(folder, { recursive: true, force: true });
}
