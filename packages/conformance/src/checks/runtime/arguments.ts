import { must } from "../../check.ts"
import { lacks } from "../../subject/vmms.ts"
import type { Scene } from "./plan.ts"

/** What a VMM says of its devices behind the arguments of the machine (guest.md). */
const ANNOUNCED = /^( ?(pci=off|virtio_mmio\.device=\S+))+$/

/** Fails unless a guest says that these are its arguments, of which `text` has its line. */
export async function hasArguments({ runtime }: Scene, text: string, wanted: string): Promise<void> {
  const found = /CMDLINE \[(.*)\]\r?\n/.exec(text)?.[1]
  const behind = found?.startsWith(wanted) ? found.slice(wanted.length) : undefined
  const announced = behind !== undefined && ANNOUNCED.test(behind) && (await lacks(runtime, "ownArguments"))
  must(found === wanted || announced, `the guest finds the arguments ${found}, and not ${wanted}`)
}
