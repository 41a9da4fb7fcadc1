import { afterEach, beforeEach, expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { makeSigner } from "@ovms/testkit/signers.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { type LayoutStore, openLayout } from "../content/layout/store.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { MemoryStore } from "../content/memory.ts"
import { BUNDLE } from "../signing/bundle/parse.ts"
import { pushed } from "../signing/bundle/write.ts"
import type { EvidenceSource } from "../signing/interfaces.ts"
import { sign } from "../signing/sign.ts"
import { evidenceIn } from "../signing/source.ts"
import { copyEvidence } from "./evidence.ts"

// What strangers put beside an artifact, on its way into the store.

let root: string
let store: LayoutStore
let remote: MemoryStore
let subject: Descriptor
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-evidence-"))
  store = await openLayout(root, { create: true })
  remote = new MemoryStore()
  subject = await pushed(remote, OCI_MANIFEST, Buffer.from('{"schemaVersion":2,"layers":[]}'), {})
})
afterEach(async () => {
  await store.close()
  await rm(root, { recursive: true })
})

/** A source that lists `junk` before what is there, and counts what is asked of it. */
function withJunk(junk: readonly Descriptor[]): EvidenceSource & { asked: number } {
  const real = evidenceIn(remote)
  const source: EvidenceSource & { asked: number } = {
    asked: 0,
    fetch: (target, call) => {
      source.asked++
      return real.fetch(target, call)
    },
    async *referrers(of, filter) {
      yield* junk
      yield* real.referrers(of, filter)
    },
    tagged: real.tagged,
  }
  return source
}

const about = (of: Descriptor, layers: readonly object[]) =>
  Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, artifactType: BUNDLE, layers, subject: of }),
  )

async function copied(): Promise<readonly Descriptor[]> {
  return Array.fromAsync(store.referrers(subject))
}

test("ten thousand entries that lead nowhere cost some hundred requests, and hide nothing relied on", async () => {
  const signature = await sign(remote, subject, await makeSigner())
  const junk = Array.from({ length: 10_000 }, (_, at) => ({
    mediaType: OCI_MANIFEST,
    digest: `sha256:${at.toString(16).padStart(64, "0")}` as const,
    size: 500,
  }))
  const source = withJunk(junk)
  const bundle = { mediaType: BUNDLE, digest: signature.digest, size: 1 }
  const kind = { form: "bundle", kind: "signature", predicateType: "" } as const
  const evidence = { ...kind, manifest: signature, blob: bundle }
  await copyEvidence(
    source,
    { store, repository: "r.example/a" },
    { subject, relied: [{ subject: subject.digest, evidence }] },
  )
  expect((await copied()).map(({ digest }) => digest)).toEqual([signature.digest])
  expect(source.asked).toBeLessThan(600)
})

test("what is not about the subject, is too large or has manifests in it is passed over", async () => {
  const other = await pushed(remote, OCI_MANIFEST, Buffer.from('{"schemaVersion":2}'), {})
  const layer = await pushed(remote, BUNDLE, Buffer.from("{}"), {})
  const junk = [
    await pushed(remote, OCI_MANIFEST, about(other, [layer]), {}),
    await pushed(remote, OCI_MANIFEST, about(subject, [{ ...layer, size: 2 ** 40 }]), {}),
    await pushed(remote, OCI_MANIFEST, about(subject, [other]), {}),
  ]
  const good = await sign(remote, subject, await makeSigner())
  await copyEvidence(withJunk(junk), { store, repository: "r.example/a" }, { subject, relied: [] })
  expect((await copied()).map(({ digest }) => digest)).toEqual([good.digest])
})

test("what was relied on and cannot be had any more fails the pull", async () => {
  const gone = { mediaType: OCI_MANIFEST, digest: `sha256:${"0".repeat(64)}` as const, size: 10 }
  const kind = { form: "bundle", kind: "signature", predicateType: "" } as const
  const relied = [{ subject: subject.digest, evidence: { ...kind, manifest: gone, blob: gone } }]
  const error = await refusal(
    copyEvidence(evidenceIn(remote), { store, repository: "r.example/a" }, { subject, relied }),
  )
  expect(error.code).toBe("OVM_CONTENT_MISSING")
  expect(error.message).toContain(gone.digest)
})
