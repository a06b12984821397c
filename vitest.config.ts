import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // One more than the fewest processors: much of the time is spent waiting for engines.
    poolOptions: { forks: { minForks: 1, maxForks: 3 } },
    // Engine suites start a registry, worker processes and sandboxes; a first fixture builds a Debian root.
    testTimeout: 60_000,
    hookTimeout: 240_000,
    teardownTimeout: 20_000,
    // Names what keeps a worker alive when a test left a process, socket or timer behind.
    reporters: ["default", "hanging-process"]
  }
})
