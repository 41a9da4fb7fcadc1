// Loaded before all tests (bunfig.toml): one that passes without a single expectation is a failure.
import { beforeEach, expect } from "bun:test"

beforeEach(() => {
  expect.hasAssertions()
})
