import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { storeSuite } from "../store.suite.ts"
import { openLayout } from "./store.ts"

storeSuite("layout", async () => {
  const root = await mkdtemp(join(tmpdir(), "ovm-layout-"))
  const store = await openLayout(root, { create: true })
  return {
    store,
    reference: (tag) => `localhost:5000/a/b:${tag}`,
    [Symbol.asyncDispose]: async () => {
      await store.close()
      await rm(root, { recursive: true })
    },
  }
})
