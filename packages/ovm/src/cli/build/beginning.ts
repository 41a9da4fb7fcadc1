import type { OvmsManifest } from "../../artifact/machine/manifest.ts"
import { readArtifact } from "../../artifact/machine/read.ts"
import { buildError } from "../../build/faults.ts"
import { baseOf, type PlannedStage } from "../../build/planned.ts"
import type { MachineSettings } from "../../build/settings.ts"
import { digestOf } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { CONTAINER_LIMITS } from "../../convert/container/limits.ts"
import { INIT, mainTexts } from "../../convert/container/own.ts"
import { openStoreToRead } from "../store.ts"

/** For the kernel of a machine that steps are done in: nothing but them begins (OVMS-IMP-080). */
const NOTHING_BEGINS = "ovm.main=off"

/** Whether the first program is that of machines that were container images (OVMS-IMP-049). */
export function beginsMain({ kernel }: Pick<OvmsManifest, "kernel">): boolean {
  return (kernel?.args ?? "").split(" ").includes(`init=${INIT}`)
}

/** Arguments for the kernel of a machine that steps are done in; undefined where the image's do. */
export async function quietArgs(reference: string, call: Call): Promise<string | undefined> {
  await using store = await openStoreToRead()
  const { manifest } = await readArtifact(store, await store.resolve(reference, call), call)
  return beginsMain(manifest) ? `${manifest.kernel?.args} ${NOTHING_BEGINS}` : undefined
}

/**
 * The stage with one more step where its machine would not begin what it says: `/etc/ovm/main` is written anew
 * (OVMS-BLD-043). Of a machine with an init of its own there is none. Throws OVM_BUILD_INVALID for what has no room.
 */
export function withBeginning(stage: PlannedStage, path: string): PlannedStage {
  const base = baseOf(stage)
  if (!base.begins) return stage
  const texts = textsOf(stage.settings)
  if (texts.equals(textsOf(base.settings))) return stage
  const { line } = stage
  if (texts.length > CONTAINER_LIMITS.mainBytes)
    throw buildError(path, [
      { line, message: `command and environment take more than ${CONTAINER_LIMITS.mainBytes} bytes` },
    ])
  const key = digestOf(JSON.stringify([stage.key, "main", digestOf(texts)]))
  const step = { line, text: "what the machine begins with", key, work: { kind: "main" as const, texts } }
  return { ...stage, steps: [...stage.steps, step], key }
}

function textsOf({ Entrypoint = [], Cmd = [], Env = [], User, WorkingDir = "/" }: MachineSettings): Buffer {
  const command = [...Entrypoint, ...Cmd]
  return mainTexts({ command, environment: Env, user: User, directory: WorkingDir })
}
