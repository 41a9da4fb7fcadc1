import type { Descriptor } from "../../content/descriptor.ts"
import type { Fetcher } from "../../content/interfaces.ts"
import { fetchAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { takeDisk } from "../disk.ts"
import type { UnfinishedMachine } from "../found.ts"
import { resourcesFault } from "../resources.ts"
import type { FurtherTaken } from "../taken.ts"
import type { Work } from "../work.ts"
import { kept } from "./kept.ts"
import type { OciSource } from "./source.ts"
import { type VmObject, vmOf } from "./vm-object.ts"

/** KubeVirt's enhancement 256: the artifact of a virtual machine. */
export const DISK_NAME = "io.kubevirt.disk.name"
const CONFIG_LIMIT = 1024 * 1024

/** What of KubeVirt's artifact is kept for whoever writes one again. */
export interface KeptOfKubevirt {
  /** Of a machine, or of a template of one. */
  readonly artifactType?: string
  /** The VirtualMachine, as it was. */
  readonly config: Record<string, unknown>
  /** Annotations of the index, of the manifest, and of the layer of each disk, the first disk first. */
  readonly index: Readonly<Record<string, string>>
  readonly manifest: Readonly<Record<string, string>>
  readonly disks: readonly Readonly<Record<string, string>>[]
}

interface From {
  readonly source: Fetcher
  readonly named: string
  readonly fetched: (layer: Descriptor, label: string) => Promise<string>
  readonly work: Work
}

/**
 * Throws OVM_ARTIFACT_INVALID for what is no machine of KubeVirt's, OVM_UNSUPPORTED for a kernel of its own, and CPUs
 * or memory that no machine has.
 */
export async function takeKubevirt(
  { manifest, index }: Extract<OciSource, { kind: "kubevirt" }>,
  { source, named, fetched, work }: From,
): Promise<UnfinishedMachine> {
  const fault = (reason: string) => new OvmError("OVM_ARTIFACT_INVALID", `${named}: ${reason}`)
  if (!manifest.config) throw fault("has no config")
  const config = parsed(await fetchAll(source, manifest.config, CONFIG_LIMIT, work.call))
  if (!isObject(config) || config.kind !== "VirtualMachine") throw fault("its config is no VirtualMachine")
  const vm = vmOf(config, named)
  const wrong = resourcesFault(vm.said, work.call.inPlace)
  if (wrong) {
    const where = wrong.of === "vcpus" ? "cpu" : "memory"
    throw new OvmError("OVM_UNSUPPORTED", `${named}: spec.template.spec.domain.${where} is ${wrong.why}`)
  }
  const layers = ordered(manifest.parts, vm, fault)
  const names = layers.map((layer, at) => layer.annotations?.[DISK_NAME] ?? `disk${at}`)
  const taken: FurtherTaken[] = []
  for (const [at, layer] of layers.entries()) {
    const label = `${named}: ${names[at]}`
    const disk = await takeDisk(await fetched(layer, label), { label }, work)
    const readOnly = vm.readOnly.has(names[at] ?? "")
    taken.push({ name: `disk${at}`, ...(readOnly && { readOnly }), disk })
  }
  const [first, ...further] = taken
  if (!first || !("disk" in first)) throw fault("has no disk")
  const all: KeptOfKubevirt = {
    ...(manifest.artifactType !== undefined && { artifactType: manifest.artifactType }),
    config,
    index: index?.annotations ?? {},
    manifest: manifest.annotations,
    disks: layers.map(({ annotations = {} }) => annotations),
  }
  const left = vm.volumes.filter((name) => !names.includes(name))
  return {
    disk: first.disk,
    further,
    said: vm.said,
    annotations: kept(all, `${named}: its VirtualMachine`),
    remarks: left.map((name) => `${named}: its volume ${name} has no layer, and is left out`),
  }
}

/** As the machine has them: what has no name there is behind what has. */
function ordered(
  layers: readonly Descriptor[],
  vm: VmObject,
  fault: (reason: string) => OvmError,
): readonly Descriptor[] {
  const names = layers.flatMap(({ annotations }) => annotations?.[DISK_NAME] ?? [])
  if (new Set(names).size < names.length) throw fault("has two layers of one disk")
  const place = ({ annotations }: Descriptor) => {
    const at = vm.disks.indexOf(annotations?.[DISK_NAME] ?? "")
    return at < 0 ? vm.disks.length : at
  }
  return layers.toSorted((one, other) => place(one) - place(other))
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}
