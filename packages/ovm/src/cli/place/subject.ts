import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import type { Reference } from "../../registry/reference.ts"
import type { Attachable } from "../../signing/attach.ts"
import type { EvidenceSource } from "../../signing/interfaces.ts"
import { evidenceIn } from "../../signing/source.ts"
import { explainUnknown } from "../names.ts"
import type { RegistryOptions } from "../registry.ts"
import { type Opened, open } from "./open.ts"
import { findWhere } from "./where.ts"

/** What signatures are about, and where they are. Dispose of it when it is done with. */
export interface Subject extends Pick<Opened, "name" | "target" | "reference">, AsyncDisposable {
  readonly evidence: EvidenceSource
}

/** An artifact to which signatures can be added. Dispose of it when it is done with. */
export interface WritableSubject extends Attachable, AsyncDisposable {
  /** Undefined in a layout. */
  readonly reference?: Reference
}

type Options = RegistryOptions & Call

/** What a signature says that it is for: what was asked, else the subject's repository where that is on a registry. */
export function signedFor(
  { reference }: Pick<Subject, "reference">,
  asked: string | undefined,
): string | undefined {
  return asked ?? (reference?.host === undefined ? undefined : reference.name)
}

/**
 * An artifact that is to be verified: wherever `ovm copy` finds one, and never more than once looked up. Throws as
 * `open` does.
 */
export async function openSubject(text: string, options: Options): Promise<Subject> {
  const where = await findWhere(text)
  const opened = await open(where, options)
  return {
    ...opened,
    name: "text" in where ? text : opened.name,
    evidence: evidenceIn(opened.source, opened.prefix),
  }
}

/**
 * An artifact that is to be signed. Throws OVM_UNSUPPORTED for an archive, which cannot be added to; OVM_NAME_UNKNOWN
 * with the way to sign a copy on this host if it is not in its registry.
 */
export async function openWritable(text: string, options: Options): Promise<WritableSubject> {
  const where = await findWhere(text)
  if (where.kind === "registry") return inRegistry(where.reference, options)
  if (where.kind === "store") return inStore(where.reference)
  return inLayout(text, where.text, options)
}

async function inRegistry(reference: Reference, options: Options): Promise<WritableSubject> {
  const { openRemote } = await import("../registry.ts")
  const store = await openRemote(reference, options)
  const target = await store.resolve(reference.target, options).catch((thrown: unknown) => {
    if (!(thrown instanceof OvmError) || thrown.code !== "OVM_NAME_UNKNOWN") throw thrown
    throw new OvmError(thrown.code, thrown.message, {
      cause: thrown,
      hint: `ovm push ${reference}; or store:${reference} for the copy on this host`,
    })
  })
  const at = { store, place: reference.name, prefix: "", added: nothing }
  return { name: reference.toString(), target, reference, ...at, [Symbol.asyncDispose]: nothing }
}

/** Closes the store with the subject, or where it has none of that name. */
async function inStore(reference: Reference): Promise<WritableSubject> {
  const { openStore } = await import("../store.ts")
  const store = await openStore()
  const name = reference.toString()
  try {
    const target = await store.resolve(name)
    const at = { store, place: `store:${reference.name}`, prefix: `${reference.name}:`, added: nothing }
    return { name, target, reference, ...at, [Symbol.asyncDispose]: () => store.close() }
  } catch (thrown) {
    await store.close()
    throw explainUnknown(thrown, name)
  }
}

async function inLayout(name: string, text: string, call: Call): Promise<WritableSubject> {
  const { rootAt, splitPlace } = await import("../../content/place.ts")
  const place = await splitPlace(text)
  if (!place.directory)
    throw new OvmError("OVM_UNSUPPORTED", `${place.path} is an archive, to which nothing can be added`, {
      hint: "sign it before it is archived: ovm copy --include-referrers takes signatures along",
    })
  const { openLayout } = await import("../../content/layout/store.ts")
  const store = await openLayout(place.path)
  try {
    return {
      name,
      target: await rootAt(store, place, call),
      store,
      place: store.root,
      prefix: "",
      added: (referrer) => store.enter(referrer, call),
      [Symbol.asyncDispose]: () => store.close(),
    }
  } catch (thrown) {
    await store.close()
    throw thrown
  }
}

async function nothing(): Promise<void> {}
