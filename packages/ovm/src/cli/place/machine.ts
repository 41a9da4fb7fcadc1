import { type Found, machineBehind, type Sought } from "../../artifact/platforms/read.ts"
import type { Opened } from "./open.ts"

/**
 * What was opened as one machine: of an index that for the platform, with the index. Throws what machineBehind throws.
 */
export async function oneMachine<T extends Opened>(
  opened: T,
  sought: Sought,
): Promise<T & Pick<Found, "index">> {
  return { ...opened, ...(await machineBehind(opened.source, opened.target, sought)) }
}
