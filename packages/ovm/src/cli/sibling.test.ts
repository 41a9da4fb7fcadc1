import { expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openLayout } from "../content/layout/store.ts"
import { pushImage } from "../content/store.testing.ts"
import { parseReference } from "../registry/reference.ts"
import { siblingOf } from "./sibling.ts"

test("a sibling is another repository of the same registry with some of the blobs", async () => {
  const root = await mkdtemp(join(tmpdir(), "ovm-sibling-"))
  try {
    await using store = await openLayout(root, { create: true })
    const base = await pushImage(store, "base", "{}", "shared layer")
    const next = await pushImage(store, "next", "{ }", "shared layer")
    const alien = await pushImage(store, "alien", "{  }", "another layer")
    const sibling = (target: typeof next, name: string) => siblingOf(store, target, parseReference(name), {})
    await store.tag(base, "r.example/machines/base:1")
    await store.tag(next, "r.example/machines/next:1")
    await store.tag(alien, "r.example/machines/alien:1")
    await store.tag(next, "not a reference")
    expect(await sibling(next, "r.example/machines/next:1")).toBe("machines/base")
    expect(await sibling(next, "other.example/machines/next:1")).toBeUndefined()
    expect(await sibling(alien, "r.example/machines/alien:1")).toBeUndefined()
    expect(await sibling(alien, "r.example/machines/copy:1")).toBe("machines/alien")
  } finally {
    await rm(root, { recursive: true })
  }
})
