import type { Digested } from "./digested.ts"

const FULL = "sha256:".length + 64

/**
 * True for a digest and for the digits at its start, as `ovm images` shows them: at least four, with or without
 * `sha256:`.
 */
export function mayBeDigest(text: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{4,64}$/.test(text)
}

/**
 * The image on this host whose digest starts with `text`; undefined if there is none, or if `text` is a name here,
 * which goes first. Throws OVM_USAGE with the candidates where several do, OVM_NAME_UNKNOWN where `text` can be
 * nothing but a digest.
 */
export async function digested(text: string): Promise<Digested | undefined> {
  if (!mayBeDigest(text)) return undefined
  // Loaded only now: most images are called by their names.
  const { findDigested } = await import("./digested.ts")
  return await findDigested(text, text.length === FULL)
}

/**
 * `text`, or a name of the image on this host whose digest starts with it. Throws as `digested` does, and
 * OVM_NAME_UNKNOWN if it has none.
 */
export async function nameFor(text: string): Promise<string> {
  const found = await digested(text)
  return found ? (await import("./digested.ts")).firstName(found) : text
}

/**
 * `text`, or the only name of the image on this host whose digest starts with it: for what is done to a name and not to
 * an image. Throws as `nameFor` does, and OVM_USAGE where the image has several.
 */
export async function onlyNameFor(text: string): Promise<string> {
  const found = await digested(text)
  return found ? (await import("./digested.ts")).onlyName(found) : text
}
