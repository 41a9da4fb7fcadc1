import type { IndexMachine } from "../../../../artifact/platforms/machines.ts"
import { indexOf, machineEntry } from "../../../../artifact/platforms/write.ts"
import type { Call } from "../../../../content/interfaces.ts"
import type { LayoutStore } from "../../../../content/layout/store.ts"
import { bytesOf } from "../../../../content/read.ts"
import { digested } from "../../../digits.ts"
import { explainUnknown, storeName } from "../../../names.ts"
import { print, printJson } from "../../../output.ts"

/** What an index says of images of this host, in their order. Throws OVM_NAME_UNKNOWN, and what machineEntry throws. */
export async function entriesOf(
  store: LayoutStore,
  images: readonly string[],
  call: Call,
): Promise<readonly IndexMachine[]> {
  const entries: IndexMachine[] = []
  for (const image of images) {
    const name = (await digested(image))?.digest ?? storeName(image)
    const target = await store.resolve(name, call).catch((thrown: unknown) => {
      throw explainUnknown(thrown, image)
    })
    entries.push(await machineEntry(store, target, image, call))
  }
  return entries
}

/** An index that has a name now. */
export interface Made {
  readonly reference: string
  readonly digest: string
  readonly machines: readonly { readonly platform: string; readonly digest: string }[]
}

/** Stores an index of `machines`, which are here, and names it. Throws what indexOf throws. */
export async function makeIndex(
  store: LayoutStore,
  reference: string,
  machines: readonly IndexMachine[],
  call: Call,
): Promise<Made> {
  const { bytes, descriptor } = indexOf(machines)
  await store.push(descriptor, bytesOf(bytes), call)
  await store.tag(descriptor, reference, call)
  const { digest } = descriptor
  const shown = machines.map(({ platform, descriptor }) => ({ platform, digest: descriptor.digest }))
  return { reference, digest, machines: shown.toSorted((a, b) => (a.platform < b.platform ? -1 : 1)) }
}

export function printMade(made: Made, { json }: { readonly json?: boolean }): void {
  const machines = made.machines.map(({ platform, digest }) => `  ${digest}  ${platform}\n`)
  if (json) printJson(made)
  else print(`${made.digest}  ${made.reference}\n${machines.join("")}`)
}
