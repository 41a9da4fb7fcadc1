import { OvmError } from "../errors.ts"

/** The short names of predicate types, as Cosign has them. */
export const PREDICATES: Readonly<Record<string, string>> = {
  spdx: "https://spdx.dev/Document",
  spdxjson: "https://spdx.dev/Document",
  cyclonedx: "https://cyclonedx.org/bom",
  slsaprovenance: "https://slsa.dev/provenance/v0.2",
  slsaprovenance02: "https://slsa.dev/provenance/v0.2",
  slsaprovenance1: "https://slsa.dev/provenance/v1",
  link: "https://in-toto.io/Link/v1",
  vuln: "https://cosign.sigstore.dev/attestation/vuln/v1",
  openvex: "https://openvex.dev/ns",
  custom: "https://cosign.sigstore.dev/attestation/v1",
}

/** The URI of a short name, or the URI itself. Throws OVM_USAGE. */
export function predicateType(text: string): string {
  const known = Object.hasOwn(PREDICATES, text) ? PREDICATES[text] : undefined
  if (known !== undefined) return known
  if (/^[a-z][a-z0-9+.-]*:\S+$/i.test(text) && text.length <= 512) return text
  throw new OvmError("OVM_USAGE", `${JSON.stringify(text.slice(0, 100))} is no predicate type`, {
    hint: `one of ${Object.keys(PREDICATES).join(", ")}, or a URI`,
  })
}
