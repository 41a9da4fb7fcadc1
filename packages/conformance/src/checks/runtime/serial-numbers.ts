import { must } from "../../check.ts"
import { lacks } from "../../subject/vmms.ts"
import type { Scene } from "./plan.ts"

/**
 * A disk that is to be known by a name: by its serial number, or where the VMM gives disks none by its place, which a
 * warning tells (OVMS-API-515). `text` is what a guest has said of its disk of that place.
 */
export async function isNamed(
  { runtime }: Scene,
  { id, text }: { readonly id: string; readonly text: string },
  name: string,
  place: number,
): Promise<void> {
  if (!(await lacks(runtime, "serialNumbers")))
    return must(text.includes(`DISK-ID [${name}]`), `disk ${place} has not the serial number ${name}`)
  const { warnings } = await runtime.status(id)
  const says = new RegExp(`\\b(${place}|vd${"abcdefghijklmnop"[place - 1]})\\b`)
  must(
    warnings.some((words) => words.includes(name) && says.test(words)),
    `no warning says that ${name} is disk ${place}: ${warnings.join("; ")}`,
  )
}
