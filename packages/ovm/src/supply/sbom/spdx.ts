import { PackageURL } from "packageurl-js"
import type { Descriptor } from "../../content/descriptor.ts"
import { type Digest, hexOf } from "../../content/digest.ts"
import { uuidOf } from "../uuid.ts"
import type { Inventory, Part } from "./inventory.ts"
import type { DocumentOptions } from "./options.ts"
import { purlParts } from "./purl.ts"

/** What is used of SPDX 2.3's JSON (spdx.github.io/spdx-spec/v2.3). */
interface SpdxPackage {
  readonly SPDXID: string
  readonly name: string
  readonly versionInfo?: string
  readonly downloadLocation: "NOASSERTION"
  readonly filesAnalyzed: false
  readonly primaryPackagePurpose?: "OPERATING-SYSTEM" | "FILE" | "LIBRARY" | "CONTAINER"
  readonly checksums?: readonly { readonly algorithm: "SHA256"; readonly checksumValue: string }[]
  readonly externalRefs?: readonly object[]
  readonly comment?: string
  readonly copyrightText: "NOASSERTION"
  readonly licenseConcluded: "NOASSERTION"
  readonly licenseDeclared: "NOASSERTION"
}

interface Relationship {
  readonly spdxElementId: string
  readonly relationshipType: "DESCRIBES" | "CONTAINS" | "DEPENDS_ON"
  readonly relatedSpdxElement: string
}

const MACHINE = "SPDXRef-Machine"
const BASE = "SPDXRef-Base"

/**
 * An SPDX 2.3 document: blobs and packages as packages, the layer graph as relationships, gaps as the document's
 * comment.
 */
export function spdx(inventory: Inventory, { created, version }: DocumentOptions) {
  const { base, gaps, name, parts } = inventory
  const owner = (part: Part) => (part.of === "machine" && base ? BASE : MACHINE)
  /** Of each disk, by name. */
  const tops = new Map<string | undefined, string>()
  const described: SpdxPackage[] = [subject(inventory), ...(base ? [basePackage(inventory, base)] : [])]
  const relationships: Relationship[] = [relate("SPDXRef-DOCUMENT", "DESCRIBES", MACHINE)]
  if (base) relationships.push(relate(MACHINE, "DEPENDS_ON", BASE))
  for (const [index, part] of parts.entries()) {
    const { SPDXID } = blob(part, index)
    described.push(blob(part, index))
    relationships.push(relate(owner(part), "CONTAINS", SPDXID))
    if (!part.format) continue
    const below = tops.get(part.disk)
    if (below) relationships.push(relate(SPDXID, "DEPENDS_ON", below))
    tops.set(part.disk, SPDXID)
  }
  for (const [index, installed] of inventory.installed.entries()) {
    const id = `SPDXRef-System-${index}`
    const { system, volume, filesystem, packages } = installed
    described.push({
      ...package_(id, system?.id ?? "unknown", system?.version, "OPERATING-SYSTEM"),
      comment: `${filesystem} on ${volume}${system?.name ? `: ${system.name}` : ""}`,
    })
    relationships.push(relate(tops.get(installed.disk) ?? MACHINE, "CONTAINS", id))
    for (const [at, entry] of packages.entries()) {
      const { type, namespace, name, version: its, qualifiers } = purlParts(entry, installed)
      const purl = new PackageURL(type, namespace, name, its, qualifiers, undefined).toString()
      const SPDXID = `SPDXRef-Package-${index}-${at}`
      described.push({
        ...package_(SPDXID, name, its, "LIBRARY"),
        externalRefs: [
          { referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl },
        ],
      })
      relationships.push(relate(id, "CONTAINS", SPDXID))
    }
  }
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name,
    documentNamespace: `urn:uuid:${uuidOf({ inventory, created, version })}`,
    creationInfo: {
      created: created.toISOString().replace(/\.\d+Z$/, "Z"),
      creators: [`Tool: ovm-${version}`],
    },
    ...(gaps.length > 0 && { comment: `Incomplete. ${gaps.join(". ")}.` }),
    packages: described,
    relationships,
  }
}

function subject({ kind, name, version, subject: { digest, size, mediaType } }: Inventory): SpdxPackage {
  return {
    ...package_(MACHINE, name, version, "CONTAINER"),
    checksums: sha256(digest),
    comment: `${kind === "machine" ? "an OVMS machine" : "a snapshot of an OVMS machine"}: ${mediaType}, ${size} bytes`,
  }
}

function basePackage({ name, version }: Inventory, base: Descriptor): SpdxPackage {
  const comment = "the OVMS machine that the snapshot was taken of"
  return {
    ...package_(BASE, name, version, "CONTAINER"),
    checksums: sha256(base.digest),
    comment,
  }
}

function blob({ role, title, descriptor, format, version }: Part, index: number): SpdxPackage {
  const { digest, size, mediaType } = descriptor
  const kernel = role === "kernel"
  const facts = [mediaType, format, `${size} bytes`, kernel ? `version ${version ?? "unknown"}` : undefined]
  return {
    ...package_(
      `SPDXRef-Part-${index}`,
      kernel && version ? "linux" : title,
      kernel ? (version?.split(" ")[0] ?? "unknown") : undefined,
      kernel ? "OPERATING-SYSTEM" : "FILE",
    ),
    checksums: sha256(digest),
    comment: `${role}: ${facts.filter(Boolean).join(", ")}`,
  }
}

function package_(
  SPDXID: string,
  name: string,
  version: string | undefined,
  primaryPackagePurpose: NonNullable<SpdxPackage["primaryPackagePurpose"]>,
): SpdxPackage {
  return {
    SPDXID,
    name,
    ...(version !== undefined && { versionInfo: version }),
    primaryPackagePurpose,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    copyrightText: "NOASSERTION",
    licenseConcluded: "NOASSERTION",
    licenseDeclared: "NOASSERTION",
  }
}

function relate(
  spdxElementId: string,
  relationshipType: Relationship["relationshipType"],
  relatedSpdxElement: string,
): Relationship {
  return { spdxElementId, relationshipType, relatedSpdxElement }
}

function sha256(digest: Digest): NonNullable<SpdxPackage["checksums"]> {
  return [{ algorithm: "SHA256", checksumValue: hexOf(digest) }]
}
