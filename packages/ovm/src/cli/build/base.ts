import { readArtifact } from "../../artifact/machine/read.ts"
import { machineBehind } from "../../artifact/platforms/read.ts"
import { isSnapshot } from "../../artifact/snapshot/read.ts"
import { Wrong } from "../../build/faults.ts"
import type { Base } from "../../build/planned.ts"
import type { MachineSettings } from "../../build/settings.ts"
import { isObject } from "../../objects.ts"
import { parseReference } from "../../registry/reference.ts"
import { pullByPolicy } from "../pull-policy.ts"
import { openStoreToRead } from "../store.ts"

/** The annotation of an OCI manifest that has what a build said of what runs in the machine (OVMS-BLD-030). */
export const SETTINGS_ANNOTATION = "ovms.settings"

/**
 * The machine that a stage begins with, pulled if it is not here. Throws Wrong for what is no machine with a disk, and
 * what pulling and reading it can throw.
 */
export async function baseCalled(
  text: string,
  call: { readonly signal: AbortSignal; readonly plainHttp?: boolean },
): Promise<Base> {
  const reference = parseReference(text)
  await pullByPolicy(`${reference}`, "missing", call)
  await using store = await openStoreToRead()
  // Of an index of machines that for this host.
  const { target } = await machineBehind(store, await store.resolve(`${reference}`), { signal: call.signal })
  if (await isSnapshot(store, target, call))
    throw new Wrong(`${text} is a snapshot: commit it, and begin with the image`)
  const { descriptor, layers, oci } = await readArtifact(store, target, call)
  if (layers.length === 0) throw new Wrong(`${text} has no disk that steps could write to`)
  return {
    reference: `${reference.name}@${descriptor.digest}`,
    digest: descriptor.digest,
    settings: settingsIn(oci.annotations?.[SETTINGS_ANNOTATION]),
  }
}

/** Of others: what is not as it should be is not there. */
function settingsIn(text = "{}"): MachineSettings {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? wellFormed(value) : {}
  } catch {
    return {}
  }
}

const TEXT = (value: unknown) => typeof value === "string" && !value.includes("\0")
const TEXTS = (value: unknown) => Array.isArray(value) && value.every(TEXT)
const TEXTS_BY_NAME = (value: unknown) => isObject(value) && Object.values(value).every(TEXT)
const NAMES = (value: unknown) => isObject(value)

const MEMBERS: Readonly<Record<keyof MachineSettings, (value: unknown) => boolean>> = {
  User: TEXT,
  Env: TEXTS,
  Entrypoint: TEXTS,
  Cmd: TEXTS,
  WorkingDir: (value) => TEXT(value) && `${value}`.startsWith("/"),
  Labels: TEXTS_BY_NAME,
  Volumes: NAMES,
  ExposedPorts: NAMES,
  StopSignal: TEXT,
  Healthcheck: (value) => isObject(value) && TEXTS(value.Test),
  Shell: TEXTS,
}

function wellFormed(value: Record<string, unknown>): MachineSettings {
  const known = Object.entries(MEMBERS).filter(([name, is]) => Object.hasOwn(value, name) && is(value[name]))
  return Object.fromEntries(known.map(([name]) => [name, value[name]]))
}
