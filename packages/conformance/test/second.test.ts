import { expect, test } from "bun:test"
import { join } from "node:path"
import { report } from "./bed.ts"

// The implementation that was written from the text alone (examples/second).

const SECOND = join(import.meta.dir, "../../../examples/second/ovms-second")

test("a reader and writer written from the text passes core and snapshot, but for what it says it does not do", async () => {
  const run = await report(["wrapper", SECOND, "--profile", "core,snapshot"])
  const wrong = run.results.filter(({ verdict }) => verdict === "fail" || verdict === "error")
  expect(wrong.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([])
  expect(run.status).toBe(0)
  const skips = run.results.filter(({ verdict }) => verdict === "skip").map(({ name }) => name)
  expect(
    skips.filter(
      (name) =>
        !/^pull\/(without|led-away-from)-tls$|^pack\/further-disks$|^(push\/index|pull\/first-of-its-platform)|^(import|export|build|index|keep|provenance|credentials|remove|run|sign)\/|^vector\/(valid|invalid)\/ram-.*lz4/.test(
          name,
        ),
    ),
  ).toEqual([])
  expect(run.results.length).toBeGreaterThan(500)
})
