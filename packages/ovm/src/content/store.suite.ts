import { describe, expect, test } from "bun:test"
import { OvmError } from "../errors.ts"
import type { Descriptor } from "./descriptor.ts"
import { digestOf } from "./digest.ts"
import type { Bytes, Deleter, ReferrerLister, Store } from "./interfaces.ts"
import { OCI_MANIFEST } from "./manifest.ts"
import { bytesOf } from "./read.ts"
import {
  collect,
  describeBytes,
  failure,
  manifestOver,
  pushBytes,
  pushImage,
  pushReferrer,
  text,
} from "./store.testing.ts"

/**
 * What every store does, whatever it is made of. `reference(tag)` is how this store writes a name. `unable` says why a
 * test is skipped for what stands behind the store.
 */
export function storeSuite(
  name: string,
  open: () => Promise<{ store: Store; reference(tag: string): string } & AsyncDisposable>,
  unable: Readonly<Record<string, string>> = {},
): void {
  for (const [title, reason] of Object.entries(unable)) console.log(`SKIP ${name}: ${title}: ${reason}`)
  const each = (title: string, run: (store: Store, reference: (tag: string) => string) => Promise<void>) =>
    test.skipIf(title in unable)(title, async () => {
      await using opened = await open()
      await run(opened.store, opened.reference)
    })

  describe(`${name}: what every store does`, () => {
    each("gives back what was pushed", async (store) => {
      const target = await pushBytes(store, text("hello"))
      expect(await store.exists(target)).toBe(true)
      expect(await collect(store.fetch(target))).toBe("hello")
    })

    each("takes an empty blob", async (store) => {
      const target = await pushBytes(store, text(""))
      expect(await store.exists(target)).toBe(true)
      expect(await collect(store.fetch(target))).toBe("")
    })

    each("takes a blob of many chunks", async (store) => {
      const bytes = new Uint8Array(3 * 1024 * 1024 + 17).map((_, at) => at * 7)
      const target = describeBytes(bytes)
      await store.push(
        target,
        bytesOf(bytes.subarray(0, 1), bytes.subarray(1, 1_000_000), bytes.subarray(1_000_000)),
      )
      expect(digestOf(Buffer.concat(await Array.fromAsync(await store.fetch(target))))).toBe(target.digest)
    })

    each("does not read content that it has", async (store) => {
      const target = await pushBytes(store, text("once"))
      // biome-ignore lint/correctness/useYield: it must never be asked for a chunk
      const never = async function* (): Bytes {
        throw new Error("was read")
      }
      expect(await store.push(target, never())).toBeUndefined()
    })

    each("says that absent content is absent", async (store) => {
      const target = describeBytes(text("nowhere"))
      expect(await store.exists(target)).toBe(false)
      const error = await failure(store.fetch(target), "OVM_CONTENT_MISSING")
      expect(error.message).toContain(target.digest)
    })

    each("refuses content of another digest and keeps nothing", async (store) => {
      const target = describeBytes(text("expected"))
      await failure(store.push(target, bytesOf(text("EXPECTED"))), "OVM_DIGEST_MISMATCH")
      expect(await store.exists(target)).toBe(false)
    })

    each("refuses content that is short or long and keeps nothing", async (store) => {
      const target = describeBytes(text("expected"))
      await failure(store.push(target, bytesOf(text("expect"))), "OVM_SIZE_MISMATCH")
      await failure(store.push(target, bytesOf(text("expected"), text("!"))), "OVM_SIZE_MISMATCH")
      expect(await store.exists(target)).toBe(false)
    })

    each("reads no more than the one byte that shows that there is more (OVMS-SEC-002)", async (store) => {
      const target = describeBytes(text("expected"))
      let read = 0
      const endless = async function* (): Bytes {
        for (; ; read++) yield text("!")
      }
      await failure(store.push(target, endless()), "OVM_SIZE_MISMATCH")
      expect(read).toBe(target.size)
    })

    each("passes on what the source of a push throws", async (store) => {
      const target = describeBytes(text("broken"))
      const broken = async function* (): Bytes {
        yield text("bro")
        throw new OvmError("OVM_REGISTRY_TIMEOUT", "the source stalled")
      }
      await failure(store.push(target, broken()), "OVM_REGISTRY_TIMEOUT")
      expect(await store.exists(target)).toBe(false)
    })

    each("tells a lie about the size when fetching", async (store) => {
      const target = await pushBytes(store, text("eight by"))
      const lying = { ...target, size: 4 }
      await failure(collect(store.fetch(lying)), "OVM_SIZE_MISMATCH")
    })

    each("names a manifest, and moves the name", async (store, reference) => {
      const first = await pushImage(store, "first", "{}", "layer")
      const second = await pushImage(store, "second", "{}", "layer")
      await store.tag(first, reference("v1"))
      await store.tag(first, reference("stable"))
      expect((await store.resolve(reference("v1"))).digest).toBe(first.digest)
      await store.tag(second, reference("v1"))
      expect(await store.resolve(reference("v1"))).toMatchObject(second)
      expect((await store.resolve(reference("stable"))).digest).toBe(first.digest)
    })

    each("resolves a digest", async (store) => {
      const image = await pushImage(store, "by digest", "{}", "layer")
      expect(await store.resolve(image.digest)).toMatchObject(image)
    })

    each("does not know other names", async (store, reference) => {
      const error = await failure(store.resolve(reference("nosuch")), "OVM_NAME_UNKNOWN")
      expect(error.message).toContain("nosuch")
      await failure(store.resolve(digestOf("nosuch")), "OVM_NAME_UNKNOWN")
    })

    each("does not name what it does not have", async (store, reference) => {
      const absent = describeBytes(manifestOver([], "absent"), OCI_MANIFEST)
      await failure(store.tag(absent, reference("v1")), "OVM_CONTENT_MISSING")
      await failure(store.resolve(reference("v1")), "OVM_NAME_UNKNOWN")
    })

    each("stops when told", async (store) => {
      const target = describeBytes(text("never"))
      const stop = new AbortController()
      const content = async function* (): Bytes {
        yield text("ne")
        stop.abort()
        yield text("ver")
      }
      await failure(store.push(target, content(), { signal: stop.signal }), "OVM_INTERRUPTED")
      expect(await store.exists(target)).toBe(false)
    })

    each("lists what refers to a manifest, with type and annotations, and filters", async (store) => {
      assertReferrers(store)
      const subject = await pushImage(store, "subject", "{}", "layer")
      expect(await Array.fromAsync(store.referrers(subject))).toEqual([])
      const signature = await pushReferrer(store, subject, "application/x.signature", "one")
      const typed = await pushBytes(store, text('{"os":"linux"}'), "application/x.config")
      const byConfig = await pushBytes(store, manifestOver([typed], "two", { subject }), OCI_MANIFEST)
      const listed = await Array.fromAsync(store.referrers(subject))
      const entries = [
        { ...signature, artifactType: "application/x.signature", annotations: { note: "one" } },
        { ...byConfig, artifactType: "application/x.config", annotations: { note: "two" } },
      ]
      expect(sorted(listed)).toEqual(sorted(entries))
      const filter = { artifactType: "application/x.signature" }
      expect(await Array.fromAsync(store.referrers(subject, filter))).toEqual(entries.slice(0, 1))
      expect(await Array.fromAsync(store.referrers(signature))).toEqual([])
    })

    each("lists referrers of what is not there yet", async (store) => {
      assertReferrers(store)
      const absent = describeBytes(manifestOver([], "later"), OCI_MANIFEST)
      const early = await pushReferrer(store, absent, "application/x.early")
      expect((await Array.fromAsync(store.referrers(absent))).map(({ digest }) => digest)).toEqual([
        early.digest,
      ])
    })

    each("lists all of many referrers pushed at once", async (store) => {
      assertReferrers(store)
      const subject = await pushImage(store, "popular", "{}", "layer")
      const notes = Array.from({ length: 8 }, (_, at) => `referrer ${at}`)
      const pushed = await Promise.all(
        notes.map((note) => pushReferrer(store, subject, "application/x.many", note)),
      )
      const listed = await Array.fromAsync(store.referrers(subject))
      expect(listed.map(({ digest }) => digest).sort()).toEqual(pushed.map(({ digest }) => digest).sort())
    })

    each("deletes a manifest with its names", async (store, reference) => {
      assertDeleter(store)
      const image = await pushImage(store, "named and deleted", "{}", "layer")
      await store.tag(image, reference("v1"))
      await store.delete(image)
      await failure(store.resolve(reference("v1")), "OVM_NAME_UNKNOWN")
    })

    each("deletes a manifest and its place among the referrers", async (store) => {
      assertReferrers(store)
      assertDeleter(store)
      const subject = await pushImage(store, "deleted", "{}", "layer")
      const referrer = await pushReferrer(store, subject, "application/x.gone")
      await store.delete(referrer)
      expect(await store.exists(referrer)).toBe(false)
      expect(await Array.fromAsync(store.referrers(subject))).toEqual([])
      await store.delete(subject)
      expect((await failure(store.delete(subject), "OVM_CONTENT_MISSING")).message).toContain(subject.digest)
    })

    each("deletes a blob", async (store) => {
      assertDeleter(store)
      const target = await pushBytes(store, text("not for long"))
      await store.delete(target)
      expect(await store.exists(target)).toBe(false)
      await failure(store.delete(target), "OVM_CONTENT_MISSING")
    })

    each("takes the same blob from many at once", async (store) => {
      const bytes = new Uint8Array(300_000).fill(3)
      const target = describeBytes(bytes)
      await Promise.all(Array.from({ length: 8 }, () => store.push(target, bytesOf(bytes))))
      expect(await store.exists(target)).toBe(true)
    })
  })
}

// A store without a power says so in `unable`.

function assertReferrers(store: Store): asserts store is Store & ReferrerLister {
  if (!("referrers" in store)) throw new Error("it lists no referrers")
}

function assertDeleter(store: Store): asserts store is Store & Deleter {
  if (!("delete" in store)) throw new Error("it deletes nothing")
}

function sorted(targets: readonly Descriptor[]): Descriptor[] {
  return targets.toSorted((a, b) => a.digest.localeCompare(b.digest))
}
