import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { type Artifact, artifactOf, kernelOf } from "../artifact/make.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, type CheckCall, must } from "../check.ts"
import { digestOf, utf8 } from "../registry/content.ts"
import type { Wrapper } from "../subject/wrapper.ts"

interface Case {
  readonly name: string
  readonly covers: readonly string[]
  readonly profile?: "snapshot"
  /** One of these codes; none: it is read well. */
  readonly codes: readonly string[]
  readonly artifact: () => Artifact
  /** What becomes of the layout before it is read, with the path of a blob. */
  readonly change?: (artifact: Artifact, path: (bytes: Buffer) => string, folder: string) => Promise<void>
}

const snapshot = () => snapshotOf(artifactOf())
const part = ({ blobs }: Artifact, at: number) => blobs[at] ?? utf8("")

const CASES: readonly Case[] = [
  { name: "whole", covers: ["OVMS-CNF-010", "OVMS-OCI-001"], codes: [], artifact: () => artifactOf() },
  { name: "whole-snapshot", covers: ["OVMS-SNP-042"], profile: "snapshot", codes: [], artifact: snapshot },
  {
    name: "blob-damaged",
    covers: ["OVMS-SEC-001"],
    codes: ["OVM_DIGEST_MISMATCH"],
    artifact: () => artifactOf(),
    change: ({ kernel }, path) => writeFile(path(kernel), kernelOf(1)),
  },
  {
    name: "blob-longer",
    covers: ["OVMS-SEC-001"],
    codes: ["OVM_SIZE_MISMATCH", "OVM_DIGEST_MISMATCH"],
    artifact: () => artifactOf(),
    change: ({ kernel }, path) => writeFile(path(kernel), Buffer.concat([kernel, utf8("more")])),
  },
  {
    name: "entry-of-another-size",
    covers: ["OVMS-SEC-001"],
    codes: ["OVM_SIZE_MISMATCH", "OVM_DIGEST_MISMATCH"],
    artifact: () => artifactOf(),
    change: async ({ oci }, _, folder) => {
      const index = await readFile(join(folder, "index.json"), "utf8")
      await writeFile(
        join(folder, "index.json"),
        index.replace(`"size":${oci.length}`, `"size":${oci.length - 1}`),
      )
    },
  },
  {
    name: "blob-missing",
    covers: ["OVMS-ERR-005"],
    codes: ["OVM_CONTENT_MISSING"],
    artifact: () => artifactOf(),
    change: ({ kernel }, path) => rm(path(kernel)),
  },
  {
    name: "manifest-damaged",
    covers: ["OVMS-SEC-001"],
    codes: ["OVM_DIGEST_MISMATCH"],
    artifact: () => artifactOf(),
    change: ({ oci }, path) => writeFile(path(oci), Buffer.from(oci.toString().replace("layers", "lawyer"))),
  },
  {
    name: "ovms-manifest-damaged",
    covers: ["OVMS-SEC-001"],
    codes: ["OVM_DIGEST_MISMATCH"],
    artifact: () => artifactOf(),
    change: ({ manifest }, path) =>
      writeFile(path(manifest), Buffer.from(manifest.toString().replace("suite", "other"))),
  },
  {
    name: "descriptor-damaged",
    covers: ["OVMS-SNP-060"],
    profile: "snapshot",
    codes: ["OVM_DIGEST_MISMATCH"],
    artifact: snapshot,
    change: ({ manifest }, path) =>
      writeFile(path(manifest), Buffer.from(manifest.toString().replace("2026-01-01", "2026-01-02"))),
  },
  {
    name: "ram-damaged",
    covers: ["OVMS-SNP-062"],
    profile: "snapshot",
    codes: ["OVM_DIGEST_MISMATCH"],
    artifact: snapshot,
    // A frame of the same length, which inflates to ones.
    change: (artifact, path) => {
      const ram = Buffer.from(part(artifact, 1))
      ram.writeUInt8(1, 12)
      return writeFile(path(part(artifact, 1)), ram)
    },
  },
  {
    name: "state-damaged",
    covers: ["OVMS-SEC-001"],
    profile: "snapshot",
    codes: ["OVM_DIGEST_MISMATCH"],
    artifact: snapshot,
    change: (artifact, path) => writeFile(path(part(artifact, 2)), utf8("no device state of any vmm")),
  },
]

async function inspected({ artifact, change, codes }: Case, wrapper: Wrapper, call: CheckCall) {
  const made = artifact()
  const layout = await writeLayout(join(call.folder, "layout"), made)
  const path = (bytes: Buffer) => join(layout, "blobs/sha256", digestOf(bytes).slice(7))
  await change?.(made, path, layout)
  const { code, stderr } = await wrapper.call("inspect", [layout], call)
  const ended = code === undefined ? "well" : `with ${code}`
  const said = stderr.trim().slice(0, 300)
  must(code === undefined ? codes.length === 0 : codes.includes(code), `the inspect ended ${ended}: ${said}`)
}

export const inspectChecks: readonly Check<Wrapper>[] = CASES.map((one) => ({
  name: `inspect/${one.name}`,
  profile: one.profile ?? "core",
  covers: one.covers,
  run: (wrapper, call) => inspected(one, wrapper, call),
}))
