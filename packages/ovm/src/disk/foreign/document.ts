import { isObject } from "../../objects.ts"
import type { Foreign, Sample } from "./sample.ts"
import { notBootable } from "./tar.ts"

const LARGEST = 4 * 1024 * 1024
/** Of the tag that begins an envelope: its first bytes say what it is of. */
const ENVELOPE = 4096

/** XML of an OVF envelope, whatever stands before that. */
export async function foreignDescriptor({ size, head, read }: Sample): Promise<Foreign | undefined> {
  if (size > LARGEST || !/^(?:\xef\xbb\xbf)?\s*<[?!\w]/.test(head.toString("latin1", 0, 64))) return undefined
  const text = (await read(0, size)).toString("latin1")
  const at = text.search(/<(?:[A-Za-z]{1,16}:)?Envelope\s/)
  if (at < 0 || !text.slice(at, at + ENVELOPE).includes('"http://schemas.dmtf.org/ovf/envelope/'))
    return undefined
  return {
    name: "the descriptor of an OVF package",
    help: (path) => `ovm import ${path}, with its disks beside it`,
  }
}

/** A JSON object, such as the manifest of a container image; no disk is one from its first byte to its last. */
export async function foreignDocument({ size, head, read }: Sample): Promise<Foreign | undefined> {
  if (size > LARGEST || !/^\s*\{/.test(head.toString("latin1", 0, 64))) return undefined
  try {
    const value: unknown = JSON.parse((await read(0, size)).toString().replace(/\0*$/, ""))
    if (!isObject(value)) return undefined
    return "layers" in value || "manifests" in value
      ? { name: "the manifest of an image", help: notBootable }
      : { name: "a JSON document", help: (path) => `ovm pack -f ${path} if it is a pack source` }
  } catch {
    return undefined
  }
}
