import { Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library"
import { PackageURL } from "packageurl-js"
import type { Descriptor } from "../../content/descriptor.ts"
import { type Digest, hexOf } from "../../content/digest.ts"
import { uuidOf } from "../uuid.ts"
import type { Package } from "./disk/packages.ts"
import type { Installed } from "./disk/scan.ts"
import type { Inventory, Part } from "./inventory.ts"
import type { DocumentOptions } from "./options.ts"
import { purlParts } from "./purl.ts"

const { ComponentType } = Enums

/**
 * A CycloneDX 1.6 document: blobs and packages as components, the layer graph as dependencies, gaps as compositions.
 */
export function cyclonedx(inventory: Inventory, { created, version }: DocumentOptions) {
  const machine = subject(inventory)
  const parts = inventory.parts.map(partComponent)
  const systems = inventory.installed.map(systemComponents)
  const bom = new Models.Bom({
    serialNumber: `urn:uuid:${uuidOf({ inventory, created, version })}`,
    metadata: new Models.Metadata({
      timestamp: created,
      component: machine,
      tools: new Models.Tools({
        components: new Models.ComponentRepository([
          new Models.Component(ComponentType.Application, "ovm", { version }),
        ]),
      }),
      properties: new Models.PropertyRepository(
        inventory.gaps.map((gap) => new Models.Property("ovms:gap", gap)),
      ),
    }),
  })
  const base = inventory.base && baseComponent(inventory, inventory.base)
  for (const component of [base, ...parts, ...systems.flat()]) if (component) bom.components.add(component)
  connect(inventory, { machine, base, parts, systems })
  const factory = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6)
  const document = factory.makeForBom().normalize(bom, { sortLists: true })
  return { ...document, compositions: compositions(inventory, machine, parts) }
}

function subject({ kind, name, version, subject: { digest, size } }: Inventory) {
  return new Models.Component(ComponentType.Platform, name, {
    bomRef: digest,
    ...(version !== undefined && { version }),
    description: kind === "machine" ? "an OVMS machine" : "a snapshot of an OVMS machine",
    hashes: sha256(digest),
    properties: properties({ "ovms:kind": kind, "ovms:size": `${size}` }),
  })
}

function baseComponent({ name, version }: Inventory, { digest }: Descriptor) {
  return new Models.Component(ComponentType.Platform, name, {
    bomRef: digest,
    ...(version !== undefined && { version }),
    description: "the OVMS machine that the snapshot was taken of",
    hashes: sha256(digest),
  })
}

function partComponent(part: Part, index: number) {
  const { role, title, descriptor, format, version } = part
  const { digest, size, mediaType } = descriptor
  const kernel = role === "kernel"
  return new Models.Component(
    kernel ? ComponentType.OperatingSystem : ComponentType.File,
    kernel && version ? "linux" : title,
    {
      // The same blob may be there twice.
      bomRef: `part-${index}-${digest}`,
      ...(kernel && { version: version?.split(" ")[0] ?? "unknown" }),
      hashes: sha256(digest),
      properties: properties({
        "ovms:role": role,
        "ovms:mediaType": mediaType,
        "ovms:digest": digest,
        "ovms:size": `${size}`,
        ...(format && { "ovms:format": format }),
        ...(kernel && { "ovms:kernel:version": version ?? "unknown" }),
      }),
    },
  )
}

/** The distribution first, then its packages. */
function systemComponents(installed: Installed, index: number) {
  const { system, volume, filesystem, packages } = installed
  const distribution = new Models.Component(ComponentType.OperatingSystem, system?.id ?? "unknown", {
    bomRef: `system-${index}`,
    ...(system?.version !== undefined && { version: system.version }),
    ...(system?.name !== undefined && { description: system.name }),
    properties: properties({ "ovms:volume": volume, "ovms:filesystem": filesystem }),
  })
  return [distribution, ...packages.map((entry, at) => packageComponent(entry, installed, `${index}-${at}`))]
}

function packageComponent(entry: Package, installed: Installed, ref: string) {
  const { type, namespace, name, version, qualifiers } = purlParts(entry, installed)
  return new Models.Component(ComponentType.Library, name, {
    bomRef: `package-${ref}`,
    version,
    purl: new PackageURL(type, namespace, name, version, qualifiers, undefined).toString(),
  })
}

type Component = Models.Component

interface Components {
  readonly machine: Component
  readonly base: Component | undefined
  readonly parts: readonly Component[]
  readonly systems: readonly (readonly Component[])[]
}

/**
 * Artifacts depend on their parts, a layer on the one below, the system on its packages, and the disk on the system.
 */
function connect(inventory: Inventory, { machine, base, parts, systems }: Components): void {
  if (base) machine.dependencies.add(base.bomRef)
  /** Of each disk, by name. */
  const tops = new Map<string | undefined, Component>()
  for (const [index, component] of parts.entries()) {
    const part = inventory.parts[index]
    const owner = part?.of === "machine" && base ? base : machine
    owner.dependencies.add(component.bomRef)
    if (!part?.format) continue
    const below = tops.get(part.disk)
    if (below) component.dependencies.add(below.bomRef)
    tops.set(part.disk, component)
  }
  for (const [index, [system, ...packages]] of systems.entries()) {
    const top = tops.get(inventory.installed[index]?.disk)
    if (system) (top ?? machine).dependencies.add(system.bomRef)
    for (const entry of packages) system?.dependencies.add(entry.bomRef)
  }
}

/** The library has no model of compositions: whether the above is all that there is. */
function compositions({ gaps, parts: all }: Inventory, machine: Component, parts: readonly Component[]) {
  const refs = (of: readonly Component[]) => of.map(({ bomRef }) => bomRef.value)
  const [disks, others] = [
    parts.filter((_, at) => all[at]?.format),
    parts.filter((_, at) => !all[at]?.format),
  ]
  return [
    { aggregate: "complete", dependencies: refs([machine]) },
    // What is in an initrd, a kernel or RAM is not looked at.
    ...(others.length > 0 ? [{ aggregate: "unknown", assemblies: refs(others) }] : []),
    ...(disks.length > 0
      ? [{ aggregate: gaps.length > 0 ? "incomplete" : "unknown", assemblies: refs(disks) }]
      : []),
  ]
}

function sha256(digest: Digest) {
  return new Models.HashDictionary([[Enums.HashAlgorithm["SHA-256"], hexOf(digest)]])
}

function properties(all: Readonly<Record<string, string>>) {
  return new Models.PropertyRepository(
    Object.entries(all).map(([name, value]) => new Models.Property(name, value)),
  )
}
