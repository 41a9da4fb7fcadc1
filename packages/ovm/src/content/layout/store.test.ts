import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { storeSuite } from "../store.suite.ts"
import { openLayout } from "./store.ts"

/** What a layout holds goes with the next collection, once nothing names it. */
const collected = "a layout is freed by collectGarbage"

const open = async () => {
  const root = await mkdtemp(join(tmpdir(), "ovm-layout-"))
  const store = await openLayout(root, { create: true })
  return {
    store,
    reference: (tag: string) => `localhost:5000/a/b:${tag}`,
    [Symbol.asyncDispose]: async () => {
      await store.close()
      await rm(root, { recursive: true })
    },
  }
}

storeSuite("layout", open, {
  "deletes a manifest with its names": collected,
  "deletes a manifest and its place among the referrers": collected,
  "deletes a blob": collected,
})
