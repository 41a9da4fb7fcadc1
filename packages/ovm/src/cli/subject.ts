import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Fetcher, ReferrerLister, Resolver, Store } from "../content/interfaces.ts"
import type { LayoutReader } from "../content/layout/reader.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"
import type { Reference } from "../registry/reference.ts"
import type { EvidenceSource } from "../signing/interfaces.ts"
import type { LegacyPlace } from "../signing/legacy/sign.ts"
import { evidenceIn } from "../signing/source.ts"
import { explainUnknown } from "./names.ts"
import type { RegistryOptions } from "./registry.ts"
import { findWhere, type Where } from "./where.ts"

// What opens a place is loaded with the place: verifying in a registry should cost no more than asking it.

/** What signatures are about, and where they are. Dispose of it when it is done with. */
export interface Subject extends AsyncDisposable {
  /** The name or path that was given, in full. */
  readonly name: string
  readonly target: Descriptor
  /** The repository that it is in, with its host; undefined in a layout or archive. */
  readonly reference: Reference | undefined
  readonly evidence: EvidenceSource
}

/** The same where signatures can be added. */
export interface WritableSubject extends Subject, LegacyPlace {
  /** To be called for each referrer that was added: layouts list them, for tools that look for them there. */
  added(referrer: Descriptor): Promise<void>
}

type Options = RegistryOptions & Call

/** What a signature says that it is for: what was asked, else the subject's repository where that is on a registry. */
export function signedFor({ reference }: Subject, asked: string | undefined): string | undefined {
  return asked ?? (reference?.host === undefined ? undefined : reference.name)
}

/** What they are of an artifact that is to be verified: wherever `ovm copy` finds one, and never more than once looked up. */
export async function openSubject(text: string, options: Options): Promise<Subject> {
  const where = await findWhere(text)
  if (where.kind === "registry") return inRegistry(where.reference, { ...options, pulling: true })
  if (where.kind === "store") return readStore(where.reference)
  const { openPlace, rootAt, splitPlace } = await import("../content/place.ts")
  const place = await splitPlace(where.text)
  const source = await openPlace(place, options)
  return subject(text, await rootAt(source, place, options), undefined, source, "")
}

/**
 * Of an artifact that is to be signed. Throws OVM_UNSUPPORTED for an archive, which cannot be added to; OVM_NAME_UNKNOWN with the
 * way to sign a copy on this host if it is not in its registry.
 */
export async function openWritable(text: string, options: Options): Promise<WritableSubject> {
  const where = await findWhere(text)
  if (where.kind === "registry") return inRegistry(where.reference, options)
  if (where.kind === "store") return inStore(where.reference)
  return inLayout(text, where, options)
}

async function inRegistry(reference: Reference, options: Options): Promise<WritableSubject> {
  const { openRemote } = await import("./registry.ts")
  const store = await openRemote(reference, options)
  const target = await store.resolve(reference.target, options).catch((thrown: unknown) => {
    if (!(thrown instanceof OvmError) || thrown.code !== "OVM_NAME_UNKNOWN") throw thrown
    throw new OvmError(thrown.code, thrown.message, {
      cause: thrown,
      hint: `ovm push ${reference}; or store:${reference} for the copy on this host`,
    })
  })
  return writable(subject(reference.toString(), target, reference, store, ""), store, reference.name, "")
}

async function readStore(reference: Reference): Promise<Subject> {
  const { openStoreToRead } = await import("./store.ts")
  return named(await openStoreToRead(), reference)
}

async function inStore(reference: Reference): Promise<WritableSubject> {
  const { openStore } = await import("./store.ts")
  const store = await openStore()
  return writable(await named(store, reference), store, `store:${reference.name}`, `${reference.name}:`)
}

/** Closes the store with the subject, or where it has none of that name. */
async function named(store: LayoutReader, reference: Reference): Promise<Subject> {
  const name = reference.toString()
  try {
    const target = await store.resolve(name)
    return subject(name, target, reference, store, `${reference.name}:`, () => store.close())
  } catch (thrown) {
    await store.close()
    throw explainUnknown(thrown, name)
  }
}

async function inLayout(text: string, where: Where & { text: string }, call: Call): Promise<WritableSubject> {
  const { rootAt, splitPlace } = await import("../content/place.ts")
  const place = await splitPlace(where.text)
  if (!place.directory)
    throw new OvmError("OVM_UNSUPPORTED", `${place.path} is an archive, to which nothing can be added`, {
      hint: "sign it before it is archived: ovm copy --include-referrers takes signatures along",
    })
  const { openLayout } = await import("../content/layout/store.ts")
  const store = await openLayout(place.path)
  try {
    const target = await rootAt(store, place, call)
    const found = subject(text, target, undefined, store, "", () => store.close())
    return writable(found, store, store.root, "", (referrer) => store.enter(referrer, call))
  } catch (thrown) {
    await store.close()
    throw thrown
  }
}

function subject(
  name: string,
  target: Descriptor,
  reference: Reference | undefined,
  store: Fetcher & ReferrerLister & Resolver,
  prefix: string,
  close: () => Promise<void> = async () => {},
): Subject {
  return { name, target, reference, evidence: evidenceIn(store, prefix), [Symbol.asyncDispose]: close }
}

function writable(
  found: Subject,
  store: Store | LayoutStore,
  place: string,
  prefix: string,
  added: (referrer: Descriptor) => Promise<void> = async () => {},
): WritableSubject {
  return { ...found, store, place, prefix, added }
}
