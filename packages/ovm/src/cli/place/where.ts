import { OvmError } from "../../errors.ts"
import { isPath, parseReference, type Reference } from "../../registry/reference.ts"
import { nameFor } from "../digits.ts"

/** Where `ovm copy` reads or writes (docs/air-gap.md). */
export type Where =
  | { readonly kind: "registry"; readonly reference: Reference }
  | { readonly kind: "store"; readonly reference: Reference }
  /** `text` is a path, with the tag that may be at its end. */
  | { readonly kind: "layout" | "archive" | "path"; readonly text: string }

/**
 * `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker://NAME` and `store:NAME`; without a prefix a path, a name with a
 * host (its registry), or a name without one (this host's store). Throws OVM_REFERENCE_INVALID.
 */
export function parseWhere(text: string): Where {
  const [, prefix, rest = ""] = /^(oci|oci-archive|store|docker):(.*)$/s.exec(text) ?? []
  if (prefix === "oci" || prefix === "oci-archive") {
    if (rest === "") throw new OvmError("OVM_REFERENCE_INVALID", `${text} names no path`)
    return { kind: prefix === "oci" ? "layout" : "archive", text: rest }
  }
  if (prefix === "store") return { kind: "store", reference: parseReference(rest) }
  if (isPath(text)) return { kind: "path", text }
  const reference = parseReference(prefix === "docker" ? rest.replace(/^\/\//, "") : text)
  if (reference.host !== undefined) return { kind: "registry", reference }
  if (prefix !== "docker") return { kind: "store", reference }
  throw new OvmError("OVM_REFERENCE_INVALID", `${text} names no registry`, {
    hint: `docker://HOST/${reference}`,
  })
}

/**
 * Where what is there already is: as `parseWhere` has it, and the digits of a digest, as `ovm images` shows them, are
 * an image of this host's store. Throws as `parseWhere` and `nameFor` do.
 */
export async function findWhere(text: string): Promise<Where> {
  const image = text.replace(/^store:/, "")
  const name = await nameFor(image)
  return parseWhere(name === image ? text : `store:${name}`)
}
