import type { Inventory } from "./inventory.ts"
import type { DocumentOptions } from "./options.ts"

export type SbomFormat = "cyclonedx" | "spdx"

/** What each format is called where it is attested, as cosign's `--type cyclonedx` and `--type spdxjson` have it. */
export const SBOM_PREDICATES: Readonly<Record<SbomFormat, string>> = {
  cyclonedx: "https://cyclonedx.org/bom",
  spdx: "https://spdx.dev/Document",
}

/**
 * The inventory as a CycloneDX 1.6 or SPDX 2.3 document: an object, ready for JSON. The same inventory and options give
 * the same document on any machine.
 */
export async function sbomDocument(
  format: SbomFormat,
  inventory: Inventory,
  options: DocumentOptions,
): Promise<Readonly<Record<string, unknown>>> {
  // Loaded only where they are wanted: the library of one of them is large.
  if (format === "cyclonedx") return (await import("./cyclonedx.ts")).cyclonedx(inventory, options)
  return (await import("./spdx.ts")).spdx(inventory, options)
}
