import { basename, isAbsolute, relative, sep } from "node:path"
import type { PackSource } from "../artifact/machine/source.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { type Digest, hexOf } from "../content/digest.ts"
import { uuidOf } from "./uuid.ts"

export const PROVENANCE_PREDICATE = "https://slsa.dev/provenance/v1"
/** spec/provenance.md says what it means. */
const BUILD_TYPE = "urn:ovms:build:pack:v1"
const BUILDER = "urn:ovms:builder:ovm"

/** What there is to say of one run of `pack`. */
export interface PackRun {
  readonly source: PackSource
  /** The folder that its paths are relative to. */
  readonly base: string
  /** Where the source is a file: its path and the digest of its bytes. */
  readonly sourceFile?: { readonly path: string; readonly digest: Digest }
  /** What became of each file, in the order of the layers; absolute paths. */
  readonly files: readonly { readonly path: string; readonly descriptor: Descriptor }[]
  /** RFC 3339. */
  readonly started: string
  readonly finished: string
  readonly sourceDateEpoch?: string
  /** Of ovm. */
  readonly version: string
}

/**
 * SLSA provenance v1 of an artifact that was packed (spec/provenance.md). No path of this host gets into it
 * (OVMS-PRV-010).
 */
export function provenanceOf(run: PackRun): Readonly<Record<string, unknown>> {
  const { base, sourceFile, files, started, finished, sourceDateEpoch } = run
  const parts = partsOf(run.source)
  const buildDefinition = {
    buildType: BUILD_TYPE,
    externalParameters: {
      source: named(run.source, base),
      ...(sourceDateEpoch && { sourceDateEpoch }),
    },
    resolvedDependencies: [
      ...(sourceFile ? [dependency(shownName(sourceFile.path, base), sourceFile.digest, "source")] : []),
      ...files.map(({ path, descriptor: { digest, mediaType } }, index) => ({
        ...dependency(shownName(path, base), digest, parts[index] ?? ""),
        mediaType,
      })),
    ],
  }
  return predicateOf(buildDefinition, { started, finished, version: run.version })
}

/** Of a build, by this program (OVMS-PRV-020, OVMS-PRV-021). */
export function predicateOf(
  buildDefinition: object,
  { started, finished, version }: Pick<PackRun, "started" | "finished" | "version">,
): Readonly<Record<string, unknown>> {
  const builder = { id: BUILDER, version: { ovm: version } }
  const times = { startedOn: started, finishedOn: finished }
  const invocationId = `urn:uuid:${uuidOf({ buildDefinition, builder, times })}`
  return { buildDefinition, runDetails: { builder, metadata: { invocationId, ...times } } }
}

/** In the order of the layers (OVMS-SRC-016). */
function partsOf({ kernel, initrd, diskLayers = [], disks = [], firmware }: PackSource): string[] {
  return [
    ...(kernel ? ["kernel"] : []),
    ...(initrd ? ["initrd"] : []),
    ...diskLayers.map((_, index) => `disk ${index}`),
    ...disks.flatMap(({ name, layers = [] }) => layers.map((_, index) => `disk ${name} ${index}`)),
    ...(firmware ? ["variables"] : []),
  ]
}

/** Something that was built of, and the part that it plays. */
export function dependency(name: string, digest: Digest, part: string) {
  return { name, digest: { sha256: hexOf(digest) }, annotations: { "ovms.part": part } }
}

function named(source: PackSource, base: string): PackSource {
  const { kernel, initrd, diskLayers, disks, firmware } = source
  const renamed = <T extends { readonly path: string }>(part: T): T => ({
    ...part,
    path: shownName(part.path, base),
  })
  return {
    ...source,
    ...(kernel && { kernel: renamed(kernel) }),
    ...(initrd && { initrd: renamed(initrd) }),
    ...(diskLayers && { diskLayers: diskLayers.map(renamed) }),
    ...(firmware && { firmware: { variables: renamed(firmware.variables) } }),
    ...(disks && {
      disks: disks.map((disk) => ({ ...disk, ...(disk.layers && { layers: disk.layers.map(renamed) }) })),
    }),
  }
}

/**
 * What lies outside of the source's folder is called by its last part: where it lies is the packing host's business.
 */
export function shownName(path: string, base: string): string {
  const name = isAbsolute(path) ? relative(base, path) : relative(base, `${base}${sep}${path}`)
  const outside = name === "" || isAbsolute(name) || name.split(sep)[0] === ".."
  return outside ? basename(path) : name.split(sep).join("/")
}
