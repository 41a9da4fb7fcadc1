import type { Digest } from "../content/digest.ts"
import { dependency, type PackRun, predicateOf, shownName } from "./provenance.ts"

/** spec/provenance.md says what it means. */
const BUILD_TYPE = "urn:ovms:build:dockerfile:v1"

/** What there is to say of one run of `build`. */
export interface BuildRun extends Pick<PackRun, "started" | "finished" | "sourceDateEpoch" | "version"> {
  /** An absolute path. */
  readonly context: string
  /** Its path, absolute, and the digest of its bytes. */
  readonly dockerfile: { readonly path: string; readonly digest: Digest }
  readonly target?: string
  readonly buildArgs: ReadonlyMap<string, string>
  /** Of what is copied from the context. */
  readonly copied: Digest
  readonly bases: readonly { readonly name: string; readonly digest: Digest }[]
  /** What boots the machine, where its base has none. */
  readonly boot: readonly { readonly part: "kernel" | "initrd"; readonly digest: Digest }[]
  readonly steps: readonly ProvenStep[]
}

export interface ProvenStep {
  readonly stage: string
  readonly line: number
  /** As it is written. */
  readonly step: string
  /** What it wrote, if anything. */
  readonly layer?: Digest
}

/** SLSA provenance v1 of a machine that was built of a Dockerfile (spec/provenance.md). */
export function buildProvenanceOf(run: BuildRun): Readonly<Record<string, unknown>> {
  const { context, dockerfile, target, buildArgs, copied, bases, boot, steps, sourceDateEpoch } = run
  const buildDefinition = {
    buildType: BUILD_TYPE,
    externalParameters: {
      buildArgs: Object.fromEntries(buildArgs),
      ...(target !== undefined && { target }),
      ...(sourceDateEpoch && { sourceDateEpoch }),
    },
    internalParameters: { steps },
    resolvedDependencies: [
      dependency(shownName(dockerfile.path, context), dockerfile.digest, "dockerfile"),
      dependency("context", copied, "context"),
      ...bases.map(({ name, digest }) => dependency(name, digest, "base")),
      ...boot.map(({ part, digest }) => dependency(part, digest, part)),
    ],
  }
  return predicateOf(buildDefinition, run)
}
