import { dirname, resolve } from "node:path"
import { type Digest, digestOf } from "../../content/digest.ts"
import { readRegular } from "../../files/regular.ts"
import { type Fault, faultOfJson, faultsError } from "../faults.ts"
import { packSource } from "../generated/pack-source.js"
import places from "../generated/pack-source.places.json" with { type: "json" }
import { DOCUMENT_BYTES, readJson } from "../json.ts"
import { type DocumentSchema, schemaFaults } from "../schema.ts"
import type { DiskFormat, FurtherDisk, OvmsManifest } from "./manifest.ts"
import { memberFaults } from "./members.ts"

const SCHEMA: DocumentSchema = {
  document: "pack-source",
  code: "OVM_SOURCE_INVALID",
  validate: packSource,
  places,
}

export interface SourceLayer {
  readonly path: string
  /** Told from the file's first bytes unless given. */
  readonly format?: DiskFormat
}

/**
 * What an artifact is packed from (spec/pack-source.md, spec/schema/pack-source.v1.json): a manifest with paths for
 * digests.
 */
export interface PackSource
  extends Pick<
    OvmsManifest,
    | "name"
    | "version"
    | "os"
    | "architecture"
    | "devices"
    | "resources"
    | "network"
    | "agent"
    | "shares"
    | "metadata"
    | "runtimeHints"
  > {
  readonly schemaVersion: 1
  readonly kernel?: { readonly path: string; readonly args?: string }
  readonly initrd?: { readonly path: string }
  readonly diskLayers?: readonly SourceLayer[]
  readonly disks?: readonly FurtherDisk<SourceLayer>[]
  readonly firmware?: { readonly variables: { readonly path: string } }
  /** Of the OCI manifest. */
  readonly annotations?: Readonly<Record<string, string>>
}

export interface SourceVerdict {
  /** Set if there is no fault. */
  readonly source?: PackSource
  readonly faults: readonly Fault[]
}

/** Judges the bytes of a pack source and reports all faults at once. Looks at no file that it names. Throws nothing. */
export function validateSource(bytes: Uint8Array): SourceVerdict {
  const read = readJson(bytes)
  if ("fault" in read) return { faults: [faultOfJson("pack-source", "OVM_SOURCE_INVALID", read.fault)] }
  const faults = sourceFaults(read.value)
  return faults.length > 0 ? { faults } : { source: read.value as PackSource, faults }
}

/** A source that was made of flags: judged like one from a file. Throws OVM_SOURCE_INVALID or OVM_UNSUPPORTED. */
export function checkSource(value: unknown, what = "the pack source"): PackSource {
  const faults = sourceFaults(value)
  if (faults.length > 0) throw faultsError(what, faults)
  return value as PackSource
}

/** A source that was read from a file. */
export interface ReadSource {
  readonly source: PackSource
  /** The folder that its paths are relative to. */
  readonly base: string
  /** Of the file's bytes. */
  readonly digest: Digest
}

/**
 * Reads a source file. Throws OVM_SOURCE_INVALID with every fault as
 * `detail`, OVM_TOO_LARGE, OVM_UNSUPPORTED, OVM_FILE_UNREADABLE.
 */
export async function readSource(path: string): Promise<ReadSource> {
  const bytes = await readRegular(path, DOCUMENT_BYTES)
  const { source, faults } = validateSource(bytes)
  if (!source) throw faultsError(path, faults)
  return { source, base: dirname(resolve(path)), digest: digestOf(bytes) }
}

function sourceFaults(value: unknown): Fault[] {
  return [...schemaFaults(SCHEMA, value), ...memberFaults("pack-source", value)]
}
