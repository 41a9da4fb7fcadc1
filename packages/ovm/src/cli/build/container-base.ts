import { SCRATCH } from "../../build/instructions.ts"
import type { Base } from "../../build/planned.ts"
import { machineSettingsIn } from "../../build/settings-read.ts"
import { digestOf } from "../../content/digest.ts"
import { agentProgram } from "../../guest/agent/program.ts"
import { parseReference } from "../../registry/reference.ts"
import type { FoundContainer } from "../import/find.ts"
import { bootFiles } from "../import/kernel.ts"

/** Of the form of what is made: that of an earlier version of this program is not gone on from. */
const FORM = "ovm-build-container-1"

export interface ContainerCall {
  readonly signal: AbortSignal
  readonly kernelFrom?: string
  /** Of the disk, in bytes, at least. */
  readonly diskSize?: number
  /** What was opened, until the build ends. */
  readonly opened: AsyncDisposableStack
}

/** A container image as what a stage begins with. Nothing but its config is read yet. Throws what bootFiles throws. */
export async function containerBase(
  found: FoundContainer,
  text: string,
  { signal, kernelFrom, diskSize }: ContainerCall,
): Promise<Base> {
  const { image, reference } = found
  const { key } = await kernelKey(kernelFrom, signal)
  const { config } = image
  return {
    reference: text,
    digest: digestOf(
      JSON.stringify([FORM, image.digest ?? SCRATCH, key, digestOf(agentProgram()), diskSize ?? 0]),
    ),
    // As what the machine begins with has them.
    settings: {
      ...machineSettingsIn(config.said),
      ...(config.directory !== "/" && { WorkingDir: config.directory }),
    },
    begins: true,
    triggers: Array.isArray(config.said.OnBuild) && config.said.OnBuild.length > 0,
    container: {
      ...(image.digest !== undefined && { digest: image.digest }),
      ...(reference !== undefined && { name: reference }),
      convert: async (name, call) => {
        const { importContainer } = await import("../import/container.ts")
        // The image's own time: another build of it gives the same, whenever that is.
        const how = {
          signal,
          ...call,
          time: config.created,
          ...(kernelFrom !== undefined && { kernelFrom }),
          ...(diskSize !== undefined && { diskSize }),
        }
        await importContainer(found, parseReference(name), how)
      },
    },
  }
}

/** Not held: it is opened again when the disk is made. */
async function kernelKey(from: string | undefined, signal: AbortSignal): Promise<{ readonly key: string }> {
  await using boot = await bootFiles(from, { signal })
  return { key: boot.key }
}
