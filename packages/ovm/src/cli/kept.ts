import { OvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import { isTerminal, printError } from "./output.ts"

/** Removes a machine whose end was seen: what the daemon does once a while has passed is done now. */
export async function removed(runtime: Runtime, id: string): Promise<void> {
  await runtime.remove(id, { force: true }).catch((thrown) => {
    if (!(thrown instanceof OvmError && thrown.code === "OVM_INSTANCE_UNKNOWN")) throw thrown
  })
}

/** Tells people what became of a machine that has ended and is not removed. */
export function tellKept(name: string): void {
  if (isTerminal("stderr"))
    printError(
      `${name} is kept with its disk: ovm start ${name} goes on with it, ovm rm ${name} removes it\n`,
    )
}
