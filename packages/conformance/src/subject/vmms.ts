import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { skip } from "../check.ts"
import { parsed } from "../registry/content.ts"
import type { ApiError } from "./answers.ts"
import type { Runtime } from "./runtime.ts"

/** What a machine may have, or do, that some VMMs have not. */
const WORDS = {
  bios: "firmware that boots a disk",
  tpm: "a TPM",
  serial: "serial ports beside the console",
  ivshmem: "shared memory",
  shares: "shares of folders",
  ignition: "a way for Ignition",
  powerOff: "power management of ACPI's",
  panic: "a device by which a guest tells of a panic",
  result: "a device by which a guest hands back a result",
  serialNumbers: "serial numbers of disks",
  linkDown: "a way to tell a guest that its link is down",
  lockedMemory: "memory that is locked",
  ownArguments: "arguments of a kernel that are all the machine's own",
  bootProtocol: "the boot protocol of a bzImage",
  pci: "PCI",
  emulation: "processors that are emulated",
  wait: "a way to have a guest wait for its disk",
} as const

export type Feature = keyof typeof WORDS

/** What the pages of spec/runtimes say that a VMM has not; of one that is not here, everything is to be there. */
const LACKS: Readonly<Record<string, readonly Feature[]>> = {
  firecracker: Object.keys(WORDS) as Feature[],
}

interface Document {
  readonly kernel?: object
  readonly shares?: readonly object[]
  readonly devices?: readonly { readonly type: string }[]
  readonly metadata?: { readonly platform?: { readonly tpm?: boolean } }
}

/** A request that was refused. */
export interface Refused {
  readonly manifest?: unknown
  readonly overrides?: {
    readonly shares?: readonly object[]
    readonly config?: { readonly ignition?: string }
  }
}

/** By the pointers of a refusal with OVM_UNSUPPORTED, where that was asked for. */
const POINTERS: readonly (readonly [
  pattern: RegExp,
  feature: Feature,
  asked: (document: Document, refused: Refused) => unknown,
])[] = [
  [/^\/kernel$/, "bios", ({ kernel }) => kernel === undefined],
  [/^\/metadata\/platform\/tpm$/, "tpm", ({ metadata }) => metadata?.platform?.tpm],
  [/^shares$/, "shares", ({ shares }, { overrides }) => shares ?? overrides?.shares],
  [/^config\/ignition$/, "ignition", (_, { overrides }) => overrides?.config?.ignition],
]

/** The VMMs that a runtime has enabled, the preferred one first. */
export async function vmmNames(runtime: Runtime): Promise<readonly string[]> {
  const { vmms } = await runtime.ask<{ vmms: readonly { name: string }[] }>("GET /info")
  return vmms.map(({ name }) => name)
}

async function vmmsWithout(runtime: Runtime, feature: Feature): Promise<string | undefined> {
  const names = await vmmNames(runtime)
  return names.length > 0 && names.every((name) => LACKS[name]?.includes(feature))
    ? names.join(", ")
    : undefined
}

/** Whether the page of each VMM that the runtime has enabled says that none of its machines has that. */
export async function lacks(runtime: Runtime, feature: Feature): Promise<boolean> {
  return (await vmmsWithout(runtime, feature)) !== undefined
}

/** Skips where the page of each VMM that the runtime has enabled says that none of its machines has that. */
export async function needs(runtime: Runtime, feature: Feature): Promise<void> {
  const names = await vmmsWithout(runtime, feature)
  if (names !== undefined) skip(`${names} has no ${WORDS[feature].replace(/^a /, "")}`)
}

/**
 * The same of a request that was refused, if that was for nothing else than such things, each by its name
 * (OVMS-ERR-007); returns where it was refused for anything else.
 */
export async function skipsLacks(runtime: Runtime, error: ApiError, refused: Refused): Promise<void> {
  if (error.code !== "OVM_UNSUPPORTED" || !Array.isArray(error.detail)) return
  const document = await documentAt(String(refused.manifest))
  const features = error.detail.map(({ pointer }) => featureOf(String(pointer), document, refused))
  for (const feature of features) if (!feature || !(await lacks(runtime, feature))) return
  if (features[0]) await needs(runtime, features[0])
}

function featureOf(pointer: string, document: Document, refused: Refused): Feature | undefined {
  const index = /^\/devices\/(\d+)\/type$/.exec(pointer)?.[1]
  const type = index === undefined ? undefined : document.devices?.[Number(index)]?.type
  if (type === "serial" || type === "ivshmem") return type
  return POINTERS.find(([pattern, , asked]) => pattern.test(pointer) && asked(document, refused))?.[1]
}

/** That of a machine by the path of its layout; one that has all where it is named otherwise. */
async function documentAt(layout: string): Promise<Document> {
  const read = async (digest = "") => readFile(join(layout, "blobs/sha256", digest.replace("sha256:", "")))
  try {
    const { manifests } = parsed(await readFile(join(layout, "index.json")))
    const { config } = parsed(await read(manifests?.[0]?.digest))
    return JSON.parse(String(await read(config?.digest)))
  } catch {
    return { kernel: {} }
  }
}
