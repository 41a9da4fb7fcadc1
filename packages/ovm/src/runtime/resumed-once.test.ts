import { expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { digestOf } from "../content/digest.ts"
import { resumeOnce } from "./resumed-once.ts"

test("one of many is the first, and nobody is later", async () => {
  const root = await mkdtemp(join(tmpdir(), "ovm-once-"))
  try {
    const folder = join(root, "resumed")
    const once = digestOf("once")
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => resumeOnce(folder, once)))
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1)
    expect((await refusal(resumeOnce(folder, once))).code).toBe("OVM_RESUME_DENIED")
    await resumeOnce(folder, digestOf("another"))
  } finally {
    await rm(root, { recursive: true })
  }
})
