import { join } from "node:path"
import { epochTime } from "../../artifact/epoch.ts"
import { pack } from "../../artifact/machine/pack.ts"
import { checkSource, type PackSource } from "../../artifact/machine/source.ts"
import { settingsAnnotation } from "../../build/annotation.ts"
import { machineSettingsIn } from "../../build/settings-read.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Digest } from "../../content/digest.ts"
import type { ContainerImage } from "../../convert/container/image.ts"
import { INIT } from "../../convert/container/own.ts"
import { takeRoot } from "../../convert/container/root.ts"
import { Workplace } from "../../convert/workplace.ts"
import { checkChain } from "../../disk/chain.ts"
import { inspectDisk } from "../../disk/inspect.ts"
import { agentProgram } from "../../guest/agent/program.ts"
import { paths } from "../../host/paths.ts"
import { takeIn } from "../../images/take-in.ts"
import { openProgress } from "../terminal/progress.ts"
import type { FoundContainer } from "./find.ts"
import { type BootFiles, bootFiles } from "./kernel.ts"

/** What of the machine is asked for besides its image. */
export interface ContainerOptions {
  readonly kernelFrom?: string
  readonly memory?: number
  readonly cpus?: number
  /** False: machines of it start without one. */
  readonly agent?: boolean
  readonly diskSize?: number
  /** When it was made, in seconds since 1970; else as SOURCE_DATE_EPOCH says. */
  readonly time?: number
  readonly signal: AbortSignal
}

export interface ImportedContainer {
  readonly digest: Digest
  readonly remarks: readonly string[]
}

/** In annotations, so many of them fit. */
const LAYERS_AT_ONCE = 50
const KEPT_LABEL = /^org\.opencontainers\.image\.(?!base\.)/

/**
 * Makes a machine of a container image in this host's store, under the name `reference` (spec/import.md). Throws what
 * takeRoot, bootFiles and pack throw.
 */
export async function importContainer(
  found: FoundContainer,
  reference: { readonly repository: string; toString(): string },
  options: ContainerOptions,
): Promise<ImportedContainer> {
  const { signal } = options
  await using boot = await bootFiles(options.kernelFrom, { signal })
  using place = await Workplace.open(join(paths().root, "importing"), { signal })
  const sourceDateEpoch = options.time === undefined ? process.env.SOURCE_DATE_EPOCH : `${options.time}`
  const time = epochTime(sourceDateEpoch)
  const { path, remarks } = await takeRoot(found.image, place, {
    program: agentProgram(),
    signal,
    ...(time !== undefined && { made: Date.parse(time) / 1000 }),
    ...(options.diskSize !== undefined && { bytes: options.diskSize }),
  })
  const source = checkSource(sourceOf(found, { path, boot, name: reference.repository }, options))
  using progress = await openProgress()
  const packed: Descriptor = await takeIn(paths(), { durable: true }, async (store) => {
    const packed = await pack(source, store, {
      base: paths().root,
      disks: { inspect: inspectDisk, checkChain },
      sourceDateEpoch,
      annotations: settingsAnnotation(machineSettingsIn(found.image.config.said)),
      signal,
      onFile: (_, at, total) => progress.onFile(found.image.what, at, total),
    })
    await store.tag(packed, reference.toString(), { signal })
    return packed
  })
  return { digest: packed.digest, remarks }
}

function sourceOf(
  { image, reference }: FoundContainer,
  { path, boot, name }: { readonly path: string; readonly boot: BootFiles; readonly name: string },
  { memory, cpus, agent = true }: ContainerOptions,
): PackSource {
  const { ports } = image.config
  return {
    schemaVersion: 1,
    name,
    kernel: { path: boot.kernel, args: `${boot.args} root=/dev/vda rootfstype=ext4 rw init=${INIT}`.trim() },
    initrd: { path: boot.initrd },
    diskLayers: [{ path, format: "qcow2" }],
    ...(agent && { agent: { protocol: "ovms.agent.v1" } }),
    ...(ports.length > 0 && { network: [{ mode: "user", ports }] }),
    ...((memory !== undefined || cpus !== undefined) && {
      resources: { ...(cpus !== undefined && { vcpus: cpus }), ...(memory !== undefined && { memory }) },
    }),
    annotations: annotationsOf(image, reference),
  }
}

/** Where it is from: the names that OCI has for that, the layers, and what its author said of it. */
function annotationsOf(
  { digest, layers, config }: ContainerImage,
  reference: string | undefined,
): Readonly<Record<string, string>> {
  const said = Object.entries(config.labels).filter(
    ([key, value]) => KEPT_LABEL.test(key) && key.length <= 255 && value.length <= 4096,
  )
  const noted: [string, string][] = []
  for (let first = 0; first < layers.length; first += LAYERS_AT_ONCE) {
    const some = layers.slice(first, first + LAYERS_AT_ONCE).map((layer) => layer.digest)
    noted.push([`org.ovms.import.layers${first === 0 ? "" : `.${first / LAYERS_AT_ONCE}`}`, some.join(",")])
  }
  return {
    ...Object.fromEntries(said.slice(0, 32)),
    ...(digest !== undefined && { "org.opencontainers.image.base.digest": digest }),
    ...(reference !== undefined && { "org.opencontainers.image.base.name": reference }),
    ...Object.fromEntries(noted),
  }
}
