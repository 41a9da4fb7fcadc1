import { type Artifact, readArtifact } from "../artifact/machine/read.ts"
import { platformOf } from "../artifact/platforms/platform.ts"
import { isSnapshot, readInlineSnapshot, readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
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

/** By what name something was asked for, what that stands for, and the index that leads from there to the machine. */
interface AskedBy {
  readonly reference: string
  /** Absent for a path. */
  readonly name?: Reference | undefined
  readonly target: Pick<Descriptor, "digest">
  readonly index?: Pick<Descriptor, "digest"> | undefined
}

/** What a policy is asked about `root`. */
export function askedOf({ reference, name, target, index }: AskedBy, { machine, snapshot }: Root): Asked {
  return {
    reference,
    ...(name && { name }),
    digest: target.digest,
    machine: machineSubject(machine),
    ...(snapshot && { snapshot: snapshotSubject(snapshot) }),
    ...(index && { index: index.digest }),
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
  return subject(descriptor.digest, platformOf(manifest), manifest.metadata?.created)
}

function snapshotSubject({ descriptor, snapshot }: Snapshot): PolicySubject {
  return subject(descriptor.digest, platformOf(snapshot), snapshot.created)
}

function subject(
  digest: PolicySubject["digest"],
  platform: string,
  created: string | undefined,
): PolicySubject {
  return { digest, platform, ...(created !== undefined && { created }) }
}
