import type { InstanceInfo } from "../runtime/interfaces.ts"
import { NOTHING_OFFERED } from "../runtime/network.ts"
import { warn } from "./output.ts"

/** Whoever said --publish-all is told at once that it has opened nothing. */
export function warnOfPorts({ name, warnings }: InstanceInfo): void {
  if (warnings.includes(NOTHING_OFFERED)) warn(`${name}: ${NOTHING_OFFERED}`)
}
