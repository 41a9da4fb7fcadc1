import { OvmError } from "../../errors.ts"

// What of another form has no place in ours is kept in annotations of the OCI manifest, whose values are short
// (OVMS-SRC-008): in pieces, for whoever writes that form again.

const NAME = "io.kubevirt.virtualmachine.kept"
const PIECE = 4096
const MOST_PIECES = 32

/** Annotations that have `value`. Throws OVM_TOO_LARGE, naming `what`. */
export function kept(value: unknown, what: string): Record<string, string> {
  // In ASCII, so that no character is cut in two.
  const text = JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
  const pieces = Math.ceil(text.length / PIECE)
  if (pieces > MOST_PIECES)
    throw new OvmError("OVM_TOO_LARGE", `${what} is of more than ${PIECE * MOST_PIECES} characters`)
  return Object.fromEntries(
    Array.from({ length: pieces }, (_, at) => [`${NAME}.${at}`, text.slice(at * PIECE, (at + 1) * PIECE)]),
  )
}

/** What `kept` has put there; undefined if nothing, or if it is not whole. */
export function keptIn(annotations: Readonly<Record<string, string>>): unknown {
  let text = ""
  for (let at = 0; annotations[`${NAME}.${at}`] !== undefined; at++) text += annotations[`${NAME}.${at}`]
  try {
    return text === "" ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
