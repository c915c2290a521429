import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts"],
    exclude: ["**/*.slow.test.ts", "**/node_modules/**"],
    globalSetup: "test/support/compile-once.ts",
    reporters: ["default", "./test/plain-line-reporter.ts"],
    // they end what hangs, also on a machine that is busy; how fast the code is, benchmarks say
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2,
  },
});
