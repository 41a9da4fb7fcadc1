import { type Artifact, readArtifact } from "../artifact/machine/read.ts"
import { isSnapshot, readInlineSnapshot, readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call, Fetcher } from "../content/interfaces.ts"
import type { Reference } from "../registry/reference.ts"
import type { Asked, PolicySubject } from "../signing/policy/decision.ts"

/** A machine, and the snapshot that it goes on from: an artifact of its own, or RAM beside the machine in its own. */
export interface Root {
  readonly machine: Artifact
  readonly snapshot?: Snapshot
}

/** Its manifests and their layers. */
export function contentOf({ machine, snapshot }: Root): readonly Descriptor[] {
  const parts = snapshot ? [machine, snapshot] : [machine]
  return parts.flatMap(({ descriptor, oci }) => [descriptor, ...oci.layers])
}

/** What a policy is asked about `root`. `name` is absent for a path; `digest` is what it stands for. */
export function askedOf(
  reference: string,
  name: Reference | undefined,
  digest: Digest,
  { machine, snapshot }: Root,
): Asked {
  return {
    reference,
    ...(name && { name }),
    digest,
    machine: machineSubject(machine),
    ...(snapshot && { snapshot: snapshotSubject(snapshot) }),
  }
}

/**
 * Reads what a descriptor in `source` stands for: a machine, with a snapshot if RAM lies beside it; or a snapshot with
 * its base. Throws as readArtifact, readSnapshot and readInlineSnapshot do.
 */
export async function readRoot(source: Fetcher, root: Descriptor, call: Call): Promise<Root> {
  if (await isSnapshot(source, root, call)) {
    const snapshot = await readSnapshot(source, root, call)
    return { machine: await readArtifact(source, snapshot.base, call), snapshot }
  }
  const machine = await readArtifact(source, root, call)
  const snapshot = await readInlineSnapshot(source, machine, call)
  return { machine, ...(snapshot && { snapshot }) }
}

function machineSubject({ descriptor, manifest }: Artifact): PolicySubject {
  const { os, architecture, metadata } = manifest
  return subject(descriptor.digest, os, architecture, metadata?.created)
}

function snapshotSubject({ descriptor, snapshot }: Snapshot): PolicySubject {
  return subject(descriptor.digest, snapshot.os, snapshot.architecture, snapshot.created)
}

function subject(
  digest: PolicySubject["digest"],
  os = "linux",
  architecture = "amd64",
  created: string | undefined,
): PolicySubject {
  return { digest, platform: `${os}/${architecture}`, ...(created !== undefined && { created }) }
}
